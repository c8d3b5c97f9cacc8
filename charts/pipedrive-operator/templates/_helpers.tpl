{{- define "pipedrive-operator.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of most objects: the release's, with the chart's unless that is in it already. */}}
{{- define "pipedrive-operator.fullname" -}}
{{- $name := include "pipedrive-operator.name" . }}
{{- $both := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- .Values.fullnameOverride | default $both | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* A name with something behind it, within 63 characters all the same: a dict of `context` and `suffix`. */}}
{{- define "pipedrive-operator.suffixed" -}}
{{- $room := sub 62 (len .suffix) | int }}
{{- printf "%s-%s" (include "pipedrive-operator.fullname" .context | trunc $room | trimSuffix "-") .suffix }}
{{- end }}

{{/* ClusterRoles have no namespace, and two releases of one name must not share them. */}}
{{- define "pipedrive-operator.clusterName" -}}
{{- $own := eq .Release.Namespace (include "pipedrive-operator.fullname" .) }}
{{- $own | ternary .Release.Namespace (printf "%s-%s" .Release.Namespace (include "pipedrive-operator.fullname" .)) }}
{{- end }}

{{- define "pipedrive-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "pipedrive-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pipedrive-operator.labels" -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" (.Values.image.tag | default .Chart.AppVersion | replace "+" "_" | trunc 63 | trimAll "-_.")
  "app.kubernetes.io/managed-by" .Release.Service
}}
{{- toYaml (merge $own (include "pipedrive-operator.selectorLabels" . | fromYaml) .Values.commonLabels) }}
{{- end }}

{{- define "pipedrive-operator.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "pipedrive-operator.fullname" .) "default") }}
{{- end }}

{{- define "pipedrive-operator.image" -}}
{{- .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* One Lease for each release: two in one namespace must not take it from each other. */}}
{{- define "pipedrive-operator.leaseName" -}}
{{- (.Values.config.leaderElection).leaseName | default (include "pipedrive-operator.fullname" .) }}
{{- end }}

{{- define "pipedrive-operator.elects" -}}
{{- if ne (toString (.Values.config.leaderElection).enabled) "false" }}true{{ end }}
{{- end }}

{{- define "pipedrive-operator.port" -}}
{{- (.Values.config.http).port | default 8080 | int }}
{{- end }}

{{/* The settings file: `config`, and what follows from other values. */}}
{{- define "pipedrive-operator.settings" -}}
{{- $chosen := dict
  "kubernetes" (dict "namespaces" .Values.watchNamespaces)
  "leaderElection" (dict "leaseName" (include "pipedrive-operator.leaseName" .))
}}
{{- toYaml (merge $chosen .Values.config) }}
{{- end }}

{{- define "pipedrive-operator.subject" -}}
- kind: ServiceAccount
  name: {{ include "pipedrive-operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* What the operator does where credentials are. `check` asks for the same. */}}
{{- define "pipedrive-operator.rules" -}}
- apiGroups: [pipedrive-operator.io]
  resources: [pipedrivecredentials]
  verbs: [list, watch]
- apiGroups: [pipedrive-operator.io]
  resources: [pipedrivecredentials/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- if (.Values.config.rollout).enabled }}
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [get, patch]
{{- end }}
{{- end }}
