{{- define "restartd.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "restartd.selector" -}}
app.kubernetes.io/name: restartd
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "restartd.labels" -}}
{{ include "restartd.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- /*
Values with every default filled in, as JSON. `helm upgrade --reuse-values` brings the values of an older chart, and a key that is set
to null is gone: no template may take a value for granted.
*/ -}}
{{- define "restartd.values" -}}
{{- $defaults := .Files.Get "files/defaults.yaml" | fromYaml -}}
{{- include "restartd.merge" (dict "defaults" $defaults "given" .Values) -}}
{{- end -}}

{{- define "restartd.merge" -}}
{{- $merged := dict -}}
{{- range $key, $value := .given -}}
{{- if not (kindIs "invalid" $value) }}{{ $_ := set $merged $key $value }}{{ end -}}
{{- end -}}
{{- $given := .given -}}
{{- range $key, $default := .defaults -}}
{{- $value := get $given $key -}}
{{- if not (hasKey $merged $key) -}}
{{- $_ := set $merged $key $default -}}
{{- else if and (kindIs "map" $default) (kindIs "map" $value) -}}
{{- $_ := set $merged $key (include "restartd.merge" (dict "defaults" $default "given" $value) | fromJson) -}}
{{- end -}}
{{- end -}}
{{- toJson $merged -}}
{{- end -}}

{{- define "restartd.serviceAccountName" -}}
{{- $account := (include "restartd.values" . | fromJson).serviceAccount -}}
{{- if $account.create }}{{ $account.name | default (include "restartd.name" .) }}{{ else }}{{ $account.name | default "default" }}{{ end -}}
{{- end -}}

{{- define "restartd.image" -}}
{{- $image := (include "restartd.values" . | fromJson).image -}}
{{- if not $image.repository }}{{ fail "image.repository must say where the image is: npm run image makes one, and your registry keeps it." }}{{ end -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- /* Whether some cluster is reached by the pod's own account. */ -}}
{{- define "restartd.inCluster" -}}
{{- $values := include "restartd.values" . | fromJson -}}
{{- range dig "kubernetes" "clusters" list $values.config -}}
{{- if .in_cluster }}true{{ end -}}
{{- end -}}
{{- end -}}

{{- /* Seconds of a duration as protobuf or Go writes it, "30s" or "1m30s"; rounded up. */ -}}
{{- define "restartd.seconds" -}}
{{- $seconds := 0.0 -}}
{{- range regexFindAll "[0-9.]+(h|ms|m|s)" . -1 -}}
{{- $number := regexFind "[0-9.]+" . | float64 -}}
{{- if hasSuffix "ms" . }}{{ $seconds = addf $seconds (mulf $number 0.001) -}}
{{- else if hasSuffix "h" . }}{{ $seconds = addf $seconds (mulf $number 3600.0) -}}
{{- else if hasSuffix "m" . }}{{ $seconds = addf $seconds (mulf $number 60.0) -}}
{{- else }}{{ $seconds = addf $seconds $number -}}
{{- end -}}
{{- end -}}
{{- ceil $seconds | int -}}
{{- end -}}

{{- /* restartd.yaml: what config says, with what is the chart's. */ -}}
{{- define "restartd.config" -}}
{{- $values := include "restartd.values" . | fromJson -}}
{{- $config := deepCopy $values.config -}}
{{- range $key := list "listen" "admin" -}}
{{- if hasKey $config $key }}{{ fail (printf "config.%s is set by the chart: leave it out." $key) }}{{ end -}}
{{- end -}}
{{- $store := $config.store | default dict -}}
{{- if or (dig "sqlite" "path" "" $store) (hasKey $store "postgres") }}{{ fail "config.store.sqlite.path and config.store.postgres are set by the chart: use store.kind." }}{{ end -}}
{{- $loopback := eq $values.access "port-forward" -}}
{{- if and (not $loopback) (not $config.authentication) }}{{ fail (printf "access: %s needs an authentication section in config: without it only loopback is listened on." $values.access) }}{{ end -}}
{{- $_ := set $config "listen" (ternary "127.0.0.1:8080" "0.0.0.0:8080" $loopback) -}}
{{- $_ := set $config "admin" (dict "listen" "0.0.0.0:8081") -}}
{{- if eq $values.store.kind "postgres" -}}
{{- $_ := set $store "postgres" (dict "url" (dict "file" "/run/secrets/restartd-store/url")) -}}
{{- else -}}
{{- $_ := set $store "sqlite" (dict "path" "/var/lib/restartd/restartd.db") -}}
{{- end -}}
{{- $_ := set $config "store" $store -}}
{{- toYaml $config -}}
{{- end -}}

{{- /* Mistakes that the schema cannot see; one sentence each. */ -}}
{{- define "restartd.check" -}}
{{- $values := include "restartd.values" . | fromJson -}}
{{- if and (eq $values.store.kind "sqlite") (gt (int $values.replicas) 1) }}{{ fail "replicas must be 1 with store.kind sqlite: its file belongs to one process. Use store.kind postgres." }}{{ end -}}
{{- if and (eq $values.store.kind "postgres") (not $values.store.postgres.urlSecret.name) }}{{ fail "store.postgres.urlSecret.name must name the Secret that has the database's address." }}{{ end -}}
{{- $drain := $values.config.drain | default dict -}}
{{- $needed := add 6 (include "restartd.seconds" (toString (dig "delay" "0s" $drain)) | int) (include "restartd.seconds" (toString (dig "limit" "30s" $drain)) | int) -}}
{{- if le (int $values.terminationGracePeriodSeconds) (int $needed) }}{{ fail (printf "terminationGracePeriodSeconds must be more than %d: 5 s before SIGTERM, what config.drain says, and 1 s to end." (int $needed)) }}{{ end -}}
{{- $names := $values.rbac.impersonate -}}
{{- if and (eq $values.rbac.mode "impersonate") (not (concat $names.users $names.groups $names.serviceAccounts)) }}{{ fail "rbac.mode impersonate needs names in rbac.impersonate: without them it would be everybody." }}{{ end -}}
{{- if and (eq $values.access "gateway") (not $values.gateway.parentRefs) }}{{ fail "access: gateway needs gateway.parentRefs." }}{{ end -}}
{{- end -}}

{{- /* 75 % of the memory limit, in MiB. */ -}}
{{- define "restartd.heap" -}}
{{- $limit := toString (dig "limits" "memory" "512Mi" (include "restartd.values" . | fromJson).resources) -}}
{{- $mib := 512.0 -}}
{{- if hasSuffix "Gi" $limit }}{{ $mib = mulf (trimSuffix "Gi" $limit | float64) 1024.0 -}}
{{- else if hasSuffix "Mi" $limit }}{{ $mib = trimSuffix "Mi" $limit | float64 -}}
{{- else if hasSuffix "G" $limit }}{{ $mib = mulf (trimSuffix "G" $limit | float64) 953.674 -}}
{{- else if hasSuffix "M" $limit }}{{ $mib = mulf (trimSuffix "M" $limit | float64) 0.953674 -}}
{{- else if hasSuffix "Ki" $limit }}{{ $mib = divf (trimSuffix "Ki" $limit | float64) 1024.0 -}}
{{- else if regexMatch "^[0-9.e+]+$" $limit }}{{ $mib = divf ($limit | float64) 1048576.0 -}}
{{- end -}}
{{- mulf $mib 0.75 | floor | int -}}
{{- end -}}
