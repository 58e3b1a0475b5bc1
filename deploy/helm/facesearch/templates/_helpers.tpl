{{- define "facesearch.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What tells the pods of a component from all others. Takes {root, component}. */}}
{{- define "facesearch.selector" -}}
app.kubernetes.io/name: {{ .root.Values.nameOverride | default .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "facesearch.labels" -}}
{{ include "facesearch.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "facesearch.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "facesearch.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* Takes {root, image, suffix}. */}}
{{- define "facesearch.image" -}}
{{- printf "%s:%s" .image.repository (.image.tag | default (printf "%s%s" .root.Chart.AppVersion .suffix)) -}}
{{- end -}}

{{/* Helm reads every number as a float and would write 50000000 as 5e+07, which is no whole number to the settings. */}}
{{- define "facesearch.scalar" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ printf "%.0f" . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* What pods of every component have in common. Takes {root, component, user, group}. */}}
{{- define "facesearch.pod" -}}
serviceAccountName: {{ include "facesearch.serviceAccountName" .root }}
automountServiceAccountToken: false
# A Service named facesearch would set FACESEARCH_PORT in every pod, to something that is no port.
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user }}
  runAsGroup: {{ .group }}
  fsGroup: {{ .group }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{/* Where gateways and workers run. Takes {root, component, values}. */}}
{{- define "facesearch.placement" -}}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- if .root.Values.topologyKeys }}
topologySpreadConstraints:
  {{- $selector := include "facesearch.selector" . }}
  {{- range .root.Values.topologyKeys }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- $selector | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "facesearch.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* Pods are restarted when the configuration that they read at their start has changed. */}}
{{- define "facesearch.checksums" -}}
checksum/config: {{ include (print $.Template.BasePath "/config.yaml") . | sha256sum }}
checksum/secrets: {{ toJson .Values.secrets | sha256sum }}
{{- end -}}

{{- define "facesearch.ownSecret" -}}
{{- .Values.secrets.existingSecret | default (include "facesearch.fullname" .) -}}
{{- end -}}

{{/* Files of /run/secrets as sources of a projected volume: keys of the servers in this chart from their Secret, others
from the operator's. Takes {root, required, optional}. */}}
{{- define "facesearch.secretFiles" -}}
{{- $values := .root.Values -}}
{{- $served := dict "REDIS_URL" $values.valkey.enabled "FACESEARCH_IMAGES_URL" $values.images.enabled "QDRANT_API_KEY" $values.qdrant.enabled -}}
{{- $ours := list -}}
{{- range concat .required .optional -}}
{{- if get $served . -}}{{- $ours = append $ours . -}}{{- end -}}
{{- end -}}
{{- $theirs := include "facesearch.ownSecret" .root -}}
{{- with $ours }}
- secret:
    name: {{ include "facesearch.fullname" $.root }}-servers
    items:
      {{- range . }}
      - { key: {{ . }}, path: {{ . }} }
      {{- end }}
{{- end }}
{{- range .required }}
{{- if not (get $served .) }}
- secret:
    name: {{ $theirs }}
    items: [{ key: {{ . }}, path: {{ . }} }]
{{- end }}
{{- end }}
{{- range .optional }}
{{- if not (get $served .) }}
- secret:
    name: {{ $theirs }}
    # Neither it nor the Secret has to exist.
    optional: true
    items: [{ key: {{ . }}, path: {{ . }} }]
{{- end }}
{{- end }}
{{- end -}}

{{/* Volumes of gateways, workers and jobs. Takes what secretFiles takes. */}}
{{- define "facesearch.volumes" -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- include "facesearch.secretFiles" . | trim | nindent 6 }}
# In memory: nothing of a request may reach a disk.
- name: tmp
  emptyDir: { medium: Memory, sizeLimit: 64Mi }
{{- with .root.Values.certificates.existingSecret }}
- name: certificates
  secret: { secretName: {{ . }}, defaultMode: 0440 }
{{- end }}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "facesearch.mounts" -}}
- { name: secrets, mountPath: /run/secrets, readOnly: true }
- { name: tmp, mountPath: /tmp }
{{- if .Values.certificates.existingSecret }}
- { name: certificates, mountPath: /etc/facesearch/certificates, readOnly: true }
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Seconds from SIGTERM to SIGKILL: whatever was begun ends by its deadline, and 20 s more than that. Takes
{root, before}: seconds in which new work is still taken. */}}
{{- define "facesearch.grace" -}}
{{- add (ceil .before) (ceil (.root.Values.config.FACESEARCH_DEADLINE_S | default 10)) 20 -}}
{{- end -}}
