{{/* Labels by which pods are found; they never change. Of a list: the root, and the component. */}}
{{- define "penstock.selector" -}}
app.kubernetes.io/name: penstock
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "penstock.labels" -}}
{{ include "penstock.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
{{- end }}

{{- define "penstock.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{ .Values.image.repository }}{{ ternary "@" ":" (hasPrefix "sha256:" $tag) }}{{ $tag }}
{{- end }}

{{/* The port of /metrics and of the service's probes. */}}
{{- define "penstock.telemetryPort" -}}
{{ dig "telemetry" "port" 9464 .Values.settings | int }}
{{- end }}

{{/* Seconds of the drain, rounded up. */}}
{{- define "penstock.drain" -}}
{{ div (add (dig "drain_ms" 25000 .Values.settings | int) 999) 1000 }}
{{- end }}

{{/* One setting as a variable: text as it is, names with commas between, all else as JSON. */}}
{{- define "penstock.value" -}}
{{- if kindIs "string" . }}{{ . }}{{ else if kindIs "slice" . }}{{ join "," . }}{{ else }}{{ toJson . }}{{ end }}
{{- end }}

{{/* The settings as variables. Programs and models have names of yours, which a variable's name
cannot hold: these are JSON, and so is what lies deeper. */}}
{{- define "penstock.settings" -}}
{{- range $table, $said := .Values.settings }}
{{- if and (kindIs "map" $said) (not (has $table (list "programs" "models"))) }}
{{- range $name, $value := $said }}
PENSTOCK_{{ upper $table }}__{{ upper $name }}: {{ include "penstock.value" $value | quote }}
{{- end }}
{{- else }}
PENSTOCK_{{ upper $table }}: {{ include "penstock.value" $said | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Of a list: where a model stands, and its settings. */}}
{{- define "penstock.modelWithoutSecrets" -}}
{{- $where := index . 0 -}}
{{- range $name, $value := index . 1 -}}
{{- if eq $name "options" -}}
{{- include "penstock.withoutSecrets" (list (printf "%s.options" $where) $value) -}}
{{- else if eq $name "api_key" -}}
{{- fail (printf "the api_key of %s is a secret: put it into a Secret, and name that in secretEnv" $where) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Of a list: where a table stands whose names are not ours, and the table. The words are those by
which the program knows what it must not show. */}}
{{- define "penstock.withoutSecrets" -}}
{{- $where := index . 0 -}}
{{- $telling := "api_?key|auth|authorization|bearer|cookie|credentials?|headers?|jaas|key|pass(phrase|wd|word)?|pem|pwd|secret|sig|signature|token" -}}
{{- range $name, $value := index . 1 -}}
{{- if kindIs "map" $value -}}
{{- include "penstock.withoutSecrets" (list (printf "%s.%s" $where $name) $value) -}}
{{- else if regexMatch (printf "(?i)(^|[^a-z0-9])(%s)([^a-z0-9]|$)" $telling) $name -}}
{{- fail (printf "%s: %q is a secret by its name: put it into a Secret, and name that in secretEnv or secretKeys" $where $name) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Of a list: the root, and the values of the container. */}}
{{- define "penstock.environment" -}}
envFrom:
  - configMapRef: {name: {{ (index . 0).Release.Name }}}
  {{- range (index . 1).secretEnv }}
  - secretRef: {name: {{ . }}}
  {{- end }}
{{- end }}

{{- define "penstock.variables" -}}
{{- range $name, $value := .env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- range $name, $from := .secretKeys }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef: {name: {{ $from.secret }}, key: {{ $from.key | quote }}}
{{- end }}
{{- end }}

{{/* Secrets as files: as directories and not file by file, so that a renewed certificate arrives.
Numbered: a Secret's name may be longer than a volume's, and may stand at two places. */}}
{{- define "penstock.fileMounts" -}}
{{- range $number, $path := keys (.secretFiles | default dict) | sortAlpha }}
- name: secret-{{ $number }}
  mountPath: {{ $path }}
  readOnly: true
{{- end }}
{{- end }}

{{- define "penstock.fileVolumes" -}}
{{- range $number, $path := keys (.secretFiles | default dict) | sortAlpha }}
- name: secret-{{ $number }}
  secret: {secretName: {{ get $.secretFiles $path }}, defaultMode: 0440}
{{- end }}
{{- end }}

{{/* What service and gateway have in common: of a list, the root and the component. PodSecurity
"restricted" asks for the first half. */}}
{{- define "penstock.pod" -}}
{{- $root := index . 0 -}}
serviceAccountName: {{ $root.Release.Name }}
automountServiceAccountToken: false
# Else Kubernetes sets a variable for each Service, such as PENSTOCK_GATEWAY_PORT.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
# Not all in one place; but rather together than not at all.
topologySpreadConstraints:
  {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ $key }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels: {{- include "penstock.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}

{{- define "penstock.container" -}}
image: {{ include "penstock.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* What may be reached: names, and ports, anywhere. Of a list: the root, more ports, and what the
addresses of may be reached, too. */}}
{{- define "penstock.egress" -}}
{{- $root := index . 0 -}}
{{- $ports := concat ($root.Values.networkPolicy.kafkaPorts | default list) (index . 1 | default list) -}}
{{- range splitList "," $root.Values.settings.kafka.bootstrap_servers -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" (trim .) | trimPrefix ":" | default "9092") -}}
{{- end -}}
{{- range regexFindAll "https?://[^/?#\"\\s,]+" (index . 2 | toJson) -1 -}}
{{- $usual := ternary "443" "80" (hasPrefix "https:" .) -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default $usual) -}}
{{- end -}}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
    # A cache of names on the node.
    - ipBlock: {cidr: 169.254.0.0/16}
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
- ports:
    {{- range $ports | toStrings | uniq }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}

{{/* From where metrics are read. The kubelet's probes come from the node, which no policy shuts out. */}}
{{- define "penstock.monitored" -}}
- from:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Values.monitoring.namespace }}}}
  ports:
    - {port: telemetry, protocol: TCP}
{{- end }}
