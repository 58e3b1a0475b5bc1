{{/* A rule of ingress; none at all without peers, since one with an empty list would let everybody in.
Takes {peers, ports}. */}}
{{- define "facesearch.from" -}}
{{- if .peers }}
- from:
    {{- toYaml .peers | nindent 4 }}
  ports:
    {{- range .ports }}
    - { port: {{ . }} }
    {{- end }}
{{- end }}
{{- end -}}

{{/* A rule of egress: to everywhere on these ports where no peers are named. Takes {to, ports}. */}}
{{- define "facesearch.to" -}}
- ports:
    {{- range .ports }}
    - { port: {{ . }} }
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* A rule of egress to another component. Takes {root, component, ports}. */}}
{{- define "facesearch.toPods" -}}
- to:
    - podSelector:
        matchLabels:
          {{- include "facesearch.selector" . | nindent 10 }}
  ports:
    {{- range .ports }}
    - { port: {{ . }} }
    {{- end }}
{{- end -}}

{{/* Where gateways and workers both go: names, Redis, images, traces. */}}
{{- define "facesearch.toAll" -}}
- to:
    {{- toYaml .Values.networkPolicy.dns | nindent 4 }}
  ports:
    - { port: 53, protocol: UDP }
    - { port: 53, protocol: TCP }
{{- range $component := list "valkey" "images" }}
{{- if (get $.Values $component).enabled }}
{{ include "facesearch.toPods" (dict "root" $ "component" $component "ports" (list 6379)) }}
{{- end }}
{{- end }}
{{- if not (and .Values.valkey.enabled .Values.images.enabled) }}
{{ include "facesearch.to" .Values.networkPolicy.redis }}
{{- end }}
{{- if .Values.config.FACESEARCH_TRACES_URL }}
{{ include "facesearch.to" .Values.networkPolicy.traces }}
{{- end }}
{{- end -}}
