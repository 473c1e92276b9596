{{- define "bascule.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{- define "bascule.labels" -}}
app.kubernetes.io/name: bascule
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{/* Who asks this cluster: the worker of the server that is installed here, or the agent of one that is elsewhere. */}}
{{- define "bascule.account" -}}
{{ if .Values.agent.cluster }}agent{{ else }}worker{{ end }}
{{- end -}}

{{- define "bascule.pod" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: { type: RuntimeDefault }
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "bascule.contained" -}}
securityContext:
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: { drop: [ALL] }
{{- end -}}

{{/* Both kinds of server differ in their role, their account and their sizes. */}}
{{- define "bascule.server" -}}
{{- include "bascule.pod" . }}
containers:
  - name: bascule
    image: {{ include "bascule.image" . }}
    args: [serve, --config, /etc/bascule/bascule.toml]
    {{- include "bascule.contained" . | nindent 4 }}
    ports:
      - { name: http, containerPort: 8080 }
      - { name: admin, containerPort: 9090 }
    env:
      - { name: BASCULE__SERVER__ROLE, value: {{ .role }} }
      - { name: BASCULE__SERVER__LISTEN, value: "0.0.0.0:8080" }
      - { name: BASCULE__SERVER__ADMIN_LISTEN, value: "0.0.0.0:9090" }
      - { name: BASCULE__SERVER__KEY, value: '{ file = "/keys/server.key" }' }
      - { name: BASCULE__AUDIT__KEY, value: '{ file = "/keys/audit.key" }' }
      - { name: BASCULE__AUDIT__CHECKPOINTS, value: /checkpoints }
      - { name: BASCULE__DATABASE__DATA_DIR, value: /data }
    envFrom:
      - secretRef: { name: {{ .Values.secrets.server }} }
    livenessProbe:
      httpGet: { path: /healthz, port: admin }
      failureThreshold: 6
    readinessProbe:
      httpGet: { path: /readyz, port: admin }
      periodSeconds: 5
    resources: {{- toYaml .resources | nindent 6 }}
    volumeMounts:
      - { name: config, mountPath: /etc/bascule, readOnly: true }
      - { name: keys, mountPath: /keys, readOnly: true }
      - { name: checkpoints, mountPath: /checkpoints }
      - { name: data, mountPath: /data }
      - { name: tmp, mountPath: /tmp }
# A sync comes to a safe point and hands itself back; what does not is taken over by another worker.
terminationGracePeriodSeconds: 60
volumes:
  - name: config
    configMap: { name: {{ .Release.Name }} }
  - name: keys
    secret: { secretName: {{ .Values.secrets.keys }}, defaultMode: 0440 }
  - name: checkpoints
    persistentVolumeClaim: { claimName: {{ .Release.Name }}-checkpoints }
  - name: data
    emptyDir: { sizeLimit: {{ .scratch }} }
  - name: tmp
    emptyDir: { sizeLimit: 1Gi }
{{- end -}}
