{{- define "pipedrive-operator.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of most objects: the release's name, followed by the chart's unless it contains that already. */}}
{{- define "pipedrive-operator.fullname" -}}
{{- $name := include "pipedrive-operator.name" . }}
{{- $both := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- .Values.fullnameOverride | default $both | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The full name plus a suffix, shortened to 63 characters. Takes a dict with `context` and `suffix`. */}}
{{- define "pipedrive-operator.suffixed" -}}
{{- $room := sub 62 (len .suffix) | int }}
{{- printf "%s-%s" (include "pipedrive-operator.fullname" .context | trunc $room | trimSuffix "-") .suffix }}
{{- end }}

{{/* Name of ClusterRoles. It contains the namespace, so that two releases of the same name do not share one. */}}
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

{{/* Name of the Lease. Each release has its own, even if two share a namespace. */}}
{{- define "pipedrive-operator.leaseName" -}}
{{- (.Values.config.leaderElection).leaseName | default (include "pipedrive-operator.fullname" .) }}
{{- end }}

{{- define "pipedrive-operator.elects" -}}
{{- if ne (toString (.Values.config.leaderElection).enabled) "false" }}true{{ end }}
{{- end }}

{{- define "pipedrive-operator.port" -}}
{{- (.Values.config.http).port | default 8080 | int }}
{{- end }}

{{/* The settings file: `config`, plus the settings that follow from other values. */}}
{{- define "pipedrive-operator.settings" -}}
{{- $chosen := dict
  "kubernetes" (dict "namespaces" .Values.watchNamespaces)
  "leaderElection" (dict "leaseName" (include "pipedrive-operator.leaseName" .))
}}
{{- if .Values.consent.enabled }}
{{- $_ := set $chosen "consent" (merge (dict "enabled" true) (include "pipedrive-operator.publicUrl" . | fromYaml)) }}
{{- end }}
{{- toYaml (merge $chosen .Values.config) }}
{{- end }}

{{- define "pipedrive-operator.publicUrl" -}}
{{- with .Values.consent.publicUrl }}publicUrl: {{ . | quote }}{{ end }}
{{- end }}

{{/* Whether the consent front is deployed. Without a public URL, people connect accounts with the CLI alone. */}}
{{- define "pipedrive-operator.hasFront" -}}
{{- if and .Values.consent.enabled .Values.consent.publicUrl }}true{{ end }}
{{- end }}

{{- define "pipedrive-operator.frontName" -}}
{{- include "pipedrive-operator.suffixed" (dict "context" . "suffix" "consent") }}
{{- end }}

{{/* The labels of the front's pods. Their name differs, so that nothing that selects the operator selects the front. */}}
{{- define "pipedrive-operator.frontSelectorLabels" -}}
app.kubernetes.io/name: {{ printf "%s-consent" (include "pipedrive-operator.name" . | trunc 55 | trimSuffix "-") }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pipedrive-operator.frontLabels" -}}
{{- toYaml (merge (include "pipedrive-operator.frontSelectorLabels" . | fromYaml) (include "pipedrive-operator.labels" . | fromYaml)) }}
{{- end }}

{{- define "pipedrive-operator.frontServiceAccountName" -}}
{{- .Values.consent.serviceAccount.name | default (.Values.consent.serviceAccount.create | ternary (include "pipedrive-operator.frontName" .) "default") }}
{{- end }}

{{- define "pipedrive-operator.frontPort" -}}
8443
{{- end }}

{{/* The front's settings file: nothing about Vault, and of the rest only what the pages need. */}}
{{- define "pipedrive-operator.frontSettings" -}}
{{- $config := .Values.config }}
{{- $consent := merge (dict
  "enabled" true
  "publicUrl" .Values.consent.publicUrl
  "operatorUrl" (printf "http://%s.%s.svc:%s" (include "pipedrive-operator.suffixed" (dict "context" . "suffix" "uninstalls")) .Release.Namespace (include "pipedrive-operator.port" .))
  "port" (include "pipedrive-operator.frontPort" . | int)
) (default (dict) $config.consent) }}
{{- if .Values.consent.tls.secretName }}
{{- $_ := set $consent "tls" (dict "certFile" "/etc/consent-tls/tls.crt" "keyFile" "/etc/consent-tls/tls.key") }}
{{- end }}
{{- $settings := dict "consent" $consent }}
{{- with pick (default (dict) $config.kubernetes) "clusterName" "timeout" }}{{- $_ := set $settings "kubernetes" . }}{{ end }}
{{- with pick (default (dict) $config.pipedrive) "oauthUrl" "allowedApiDomains" "insecure" }}{{- $_ := set $settings "pipedrive" . }}{{ end }}
{{- with $config.log }}{{- $_ := set $settings "log" . }}{{ end }}
{{- with $config.http }}{{- $_ := set $settings "http" . }}{{ end }}
{{- toYaml $settings }}
{{- end }}

{{- define "pipedrive-operator.subject" -}}
- kind: ServiceAccount
  name: {{ include "pipedrive-operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* Permissions in namespaces with credentials. `check` tests the same ones. */}}
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
{{- if .Values.consent.enabled }}
- apiGroups: [pipedrive-operator.io]
  resources: [pipedriveconsents]
  verbs: [list, watch, delete]
- apiGroups: [pipedrive-operator.io]
  resources: [pipedriveconsents/status]
  verbs: [patch]
{{- end }}
{{- if (.Values.config.rollout).enabled }}
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [get, patch]
{{- end }}
{{- end }}

{{/* All rights of the consent front. */}}
{{- define "pipedrive-operator.frontRules" -}}
- apiGroups: [pipedrive-operator.io]
  resources: [pipedriveconsents]
  verbs: [get, patch]
{{- end }}
