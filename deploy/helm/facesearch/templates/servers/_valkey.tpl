{{/* A container with a Valkey server. Takes {root, values, name, password, arguments}. */}}
{{- define "facesearch.valkeyContainer" -}}
name: {{ .name }}
image: {{ .values.image }}
command:
  - valkey-server
  - /etc/valkey/password.conf
  - --maxmemory
  - {{ .values.maxmemory }}
  # A full server says so instead of forgetting keys and jobs.
  - --maxmemory-policy
  - noeviction
  - --save
  - ""
  {{- range .arguments }}
  - {{ . | quote }}
  {{- end }}
env:
  # Read by valkey-cli in the probe.
  - name: REDISCLI_AUTH
    valueFrom:
      secretKeyRef: { name: {{ include "facesearch.fullname" .root }}-servers, key: {{ .password }} }
ports:
  - { name: redis, containerPort: 6379 }
# It takes connections while it reads its file, but answers PONG only afterwards.
readinessProbe:
  exec: { command: [sh, -c, "valkey-cli ping | grep -q PONG"] }
  periodSeconds: 5
  timeoutSeconds: 3
livenessProbe:
  tcpSocket: { port: redis }
  periodSeconds: 20
resources:
  {{- toYaml .values.resources | nindent 2 }}
securityContext:
  {{- include "facesearch.containerSecurity" .root | nindent 2 }}
{{- end -}}

{{/* Where it reads its password. Takes {root, file}. */}}
{{- define "facesearch.valkeyPassword" -}}
name: password
secret:
  secretName: {{ include "facesearch.fullname" .root }}-servers
  defaultMode: 0440
  items: [{ key: {{ .file }}, path: password.conf }]
{{- end -}}
