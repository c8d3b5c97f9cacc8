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
{{- toYaml (merge $chosen .Values.config) }}
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
{{- if (.Values.config.rollout).enabled }}
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [get, patch]
{{- end }}
{{- end }}
