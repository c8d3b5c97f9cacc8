-- Health check of a PipedriveCredential for Argo CD; docs/gitops.md says where to put it.
local health = {status = "Progressing", message = "the operator has not processed this generation yet"}

if obj.spec ~= nil and obj.spec.suspend == true then
  health.status = "Suspended"
  health.message = "spec.suspend is set"
  return health
end

if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end

local conditions = {}
for _, condition in ipairs(obj.status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready, stalled = conditions.Ready, conditions.Stalled

if stalled ~= nil and stalled.status == "True" then
  health.status = "Degraded"
  health.message = stalled.reason .. ": " .. stalled.message
elseif ready ~= nil and ready.status == "True" then
  health.status = "Healthy"
  health.message = ready.message
elseif ready ~= nil and ready.reason == "GrantMissing" then
  -- Nothing is broken: a person has not consented yet.
  health.status = "Suspended"
  health.message = ready.message
elseif ready ~= nil then
  health.message = ready.reason .. ": " .. ready.message
end
return health
