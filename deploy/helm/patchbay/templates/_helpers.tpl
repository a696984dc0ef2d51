{{- define "patchbay.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* Labels that select the pods of a part; takes (dict "root" $ "part" "worker"). */}}
{{- define "patchbay.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "patchbay.labels" -}}
{{ include "patchbay.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "patchbay.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* What a pod may do: nothing of the node, nothing of the cluster. Takes a dict with "user". */}}
{{- define "patchbay.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user }}
  runAsGroup: {{ .user }}
  fsGroup: {{ .user }}
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "patchbay.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* The settings of every process of the image. */}}
{{- define "patchbay.environment" -}}
envFrom:
  - configMapRef: {name: {{ include "patchbay.name" . }}}
  - secretRef: {name: {{ .Values.secret }}}
{{- end }}

{{/* The folders that a process writes; all of them end with the pod. */}}
{{- define "patchbay.volumeMounts" -}}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  - {name: state, mountPath: /home/patchbay/.local/state/patchbay}
{{- if .Values.files }}
  - {name: files, mountPath: /app/config/own, readOnly: true}
{{- end }}
{{- end }}

{{- define "patchbay.volumes" -}}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: 2Gi}
  - name: state
    emptyDir: {sizeLimit: 1Gi}
{{- if .Values.files }}
  - name: files
    configMap: {name: {{ include "patchbay.name" . }}-files}
{{- end }}
{{- end }}

{{/* Where pods of a part run; takes (dict "root" $ "part" "worker" "values" .Values.worker). */}}
{{- define "patchbay.placement" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "patchbay.selector" . | nindent 8 }}
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
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A disruption budget: one pod of a part leaves at a time. */}}
{{- define "patchbay.budget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "patchbay.name" .root }}-{{ .part }}
  labels:
    {{- include "patchbay.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "patchbay.selector" . | nindent 6 }}
{{- end }}

{{/* A plain autoscaler; takes "min", "max" and "cpu" as well. Pods leave slowly: they have calls. */}}
{{- define "patchbay.autoscaler" -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ include "patchbay.name" .root }}-{{ .part }}
  labels:
    {{- include "patchbay.labels" . | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ include "patchbay.name" .root }}-{{ .part }}
  minReplicas: {{ .min }}
  maxReplicas: {{ .max }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ .cpu }}}
  behavior:
    {{- include "patchbay.scaling" . | nindent 4 }}
{{- end }}

{{- define "patchbay.scaling" -}}
scaleUp:
  stabilizationWindowSeconds: 0
scaleDown:
  stabilizationWindowSeconds: 600
  policies:
    - {type: Pods, value: 1, periodSeconds: 300}
{{- end }}
