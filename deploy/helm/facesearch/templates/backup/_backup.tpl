{{/* The names of CronJobs have 52 characters at most: each run appends its own. */}}
{{- define "facesearch.backupName" -}}
{{- printf "%s-backup" (include "facesearch.fullname" . | trunc 45 | trimSuffix "-") -}}
{{- end -}}

{{/* What a job on backups runs: a pod with the worker's image, its way to the servers and the folder of backups. Takes
{root, command, models}: a command of facesearch, and whether it has to know the models of worker.models.existingClaim. */}}
{{- define "facesearch.backupJob" -}}
{{- $values := .root.Values -}}
{{- $component := dict "root" .root "component" "backup" "values" $values.backup "user" 10001 "group" 10001 -}}
{{- $keys := dict "root" .root "required" (list "REDIS_URL") "optional" (list "QDRANT_API_KEY") -}}
{{- $models := and .models $values.worker.models.existingClaim -}}
backoffLimit: 2
activeDeadlineSeconds: {{ include "facesearch.scalar" $values.backup.deadlineSeconds }}
template:
  metadata:
    labels:
      {{- include "facesearch.selector" $component | nindent 6 }}
  spec:
    restartPolicy: Never
    # The group of its volumes is its own, so that it may write where a claim was made for somebody else.
    {{- include "facesearch.pod" $component | nindent 4 }}
    {{- include "facesearch.placement" $component | nindent 4 }}
    containers:
      - name: backup
        image: {{ include "facesearch.image" (dict "root" .root "image" $values.worker.image "suffix" (ternary "-cuda" "" $values.worker.gpu.enabled)) }}
        imagePullPolicy: {{ $values.worker.image.pullPolicy }}
        command: {{ toJson .command }}
        envFrom:
          - configMapRef: { name: {{ include "facesearch.fullname" .root }} }
        {{- with $values.extraEnv }}
        env:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        resources:
          {{- toYaml $values.backup.resources | nindent 10 }}
        securityContext:
          {{- include "facesearch.containerSecurity" .root | nindent 10 }}
        volumeMounts:
          {{- include "facesearch.mounts" .root | nindent 10 }}
          - { name: backups, mountPath: /backups }
          {{- if $models }}
          - { name: models, mountPath: /models, readOnly: true }
          {{- end }}
    volumes:
      {{- include "facesearch.volumes" $keys | nindent 6 }}
      - name: backups
        persistentVolumeClaim: { claimName: {{ $values.backup.existingClaim | default (include "facesearch.backupName" .root) }} }
      {{- if $models }}
      - name: models
        persistentVolumeClaim: { claimName: {{ $values.worker.models.existingClaim }}, readOnly: true }
      {{- end }}
{{- end -}}
