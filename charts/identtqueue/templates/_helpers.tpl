{{- define "identtqueue.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/*
Prefix of every object name. 46 characters leave room for the longest suffix within the 63 that a
Service name or a label value may have.
*/}}
{{- define "identtqueue.fullname" -}}
{{- $name := include "identtqueue.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 46 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 46 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 46 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "identtqueue.serviceAccountName" -}}
{{- default (include "identtqueue.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{/*
What a selector may rely on: these never change in the life of a release.
Usage of this and the next two: include "identtqueue.labels" (dict "root" $ "component" "operator")
*/}}
{{- define "identtqueue.selectorLabels" -}}
app.kubernetes.io/name: {{ include "identtqueue.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/*
Labels of a pod. Without versions: they would restart Redis whenever the operator is upgraded. The
chart's own win over commonLabels and the caller's "extra".
*/}}
{{- define "identtqueue.podLabels" -}}
{{- $own := include "identtqueue.selectorLabels" . | fromYaml }}
{{- $own = set $own "app.kubernetes.io/part-of" "identtqueue" }}
{{- toYaml (merge $own (.extra | default dict) .root.Values.commonLabels) }}
{{- end }}

{{/* Labels of any other object. */}}
{{- define "identtqueue.labels" -}}
{{- $own := dict "app.kubernetes.io/version" .root.Chart.AppVersion }}
{{- if eq .root.Values.creator "helm" }}
{{- $own = set $own "app.kubernetes.io/managed-by" .root.Release.Service }}
{{- $own = set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") }}
{{- end }}
{{- toYaml (merge $own (include "identtqueue.podLabels" . | fromYaml)) }}
{{- end }}

{{/* Usage: include "identtqueue.image" (dict "image" .Values.image "tag" .Chart.AppVersion) */}}
{{- define "identtqueue.image" -}}
{{- if .image.digest }}
{{- printf "%s@%s" .image.repository .image.digest }}
{{- else }}
{{- printf "%s:%s" .image.repository (default .tag .image.tag) }}
{{- end }}
{{- end }}

{{/* The served namespaces as a JSON list: templates can only return text. */}}
{{- define "identtqueue.namespaces" -}}
{{- default (list .Release.Namespace) .Values.watchNamespaces | uniq | toJson }}
{{- end }}

{{/* "true" if TaskQueues in the release's own namespace are served. */}}
{{- define "identtqueue.servesOwnNamespace" -}}
{{- if or .Values.clusterWide (has .Release.Namespace (include "identtqueue.namespaces" . | fromJsonArray)) -}}
true
{{- end }}
{{- end }}

{{/* "true" if the admission policy for authors of TaskQueues is part of the release. */}}
{{- define "identtqueue.authorPolicy" -}}
{{- if and .Values.authorPolicy.enabled (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) -}}
true
{{- end }}
{{- end }}

{{- define "identtqueue.redis.fullname" -}}
{{- include "identtqueue.fullname" . }}-redis
{{- end }}

{{- define "identtqueue.redis.secretName" -}}
{{- default (include "identtqueue.redis.fullname" .) .Values.redis.auth.existingSecret }}
{{- end }}

{{/*
The roles for which the chart's Redis has a user, whose login is in the Secret <redis>-<role>: as JSON.
None where the password is in a Secret of somebody else's, since this chart then makes no Secrets.
*/}}
{{- define "identtqueue.redis.roles" -}}
{{- if and .Values.redis.enabled (not .Values.redis.auth.existingSecret) -}}
["operator","worker","producer","admin"]
{{- else -}}
[]
{{- end }}
{{- end }}

{{- define "identtqueue.redis.address" -}}
{{- printf "%s.%s.svc:6379" (include "identtqueue.redis.fullname" .) .Release.Namespace }}
{{- end }}

{{/*
Redis of the test: as JSON, {} if there is none. With `roles`, each role has a Secret of its own:
<secret>-<role>, with username and password.
*/}}
{{- define "identtqueue.test.redis" -}}
{{- if .Values.test.redis.address }}
{{- dict "address" .Values.test.redis.address "secret" .Values.test.redis.secretName "key" "password" | toJson }}
{{- else if .Values.redis.enabled }}
{{- $roles := ne (include "identtqueue.redis.roles" .) "[]" }}
{{- dict "address" (include "identtqueue.redis.address" .) "secret" (include "identtqueue.redis.secretName" .) "key" .Values.redis.auth.key "roles" $roles | toJson }}
{{- else -}}
{}
{{- end }}
{{- end }}

{{/* "true" if `helm test` can work in this release. */}}
{{- define "identtqueue.test.possible" -}}
{{- $redis := include "identtqueue.test.redis" . | fromJson }}
{{- if and .Values.test.enabled .Values.rbac.templates $redis (include "identtqueue.servesOwnNamespace" .) -}}
true
{{- end }}
{{- end }}

{{/*
Redis of the dashboard: as JSON, {} if there is none. Without `username` the default user logs in.
*/}}
{{- define "identtqueue.dashboard.redis" -}}
{{- $given := .Values.dashboard.redis }}
{{- if $given.address }}
{{- dict "address" $given.address "secret" $given.secretName "username" $given.usernameKey "password" $given.passwordKey | toJson }}
{{- else if .Values.redis.enabled }}
{{- $secret := include "identtqueue.redis.secretName" . }}
{{- if ne (include "identtqueue.redis.roles" .) "[]" }}
{{- dict "address" (include "identtqueue.redis.address" .) "secret" (printf "%s-admin" $secret) "username" "username" "password" "password" | toJson }}
{{- else }}
{{- dict "address" (include "identtqueue.redis.address" .) "secret" $secret "password" .Values.redis.auth.key | toJson }}
{{- end }}
{{- else -}}
{}
{{- end }}
{{- end }}

{{/* Rules over several values, which the schema can only refuse with words nobody understands. */}}
{{- define "identtqueue.validate" -}}
{{- if and .Values.clusterWide .Values.watchNamespaces }}
{{- fail "clusterWide and watchNamespaces exclude each other: serve every namespace, or the listed ones." }}
{{- end }}
{{- if and (gt (int .Values.replicas) 1) (not .Values.leaderElection.enabled) }}
{{- fail "replicas > 1 needs leaderElection.enabled: without a leader, two operators would scale the same Deployment." }}
{{- end }}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- fail "serviceAccount.create=false needs serviceAccount.name: the namespace's default ServiceAccount, which every pod shares, must not get the operator's rights." }}
{{- end }}
{{- if and (has "Deny" .Values.authorPolicy.actions) (has "Warn" .Values.authorPolicy.actions) }}
{{- fail "authorPolicy.actions: Deny and Warn exclude each other, since a refusal says everything a warning would." }}
{{- end }}
{{- if .Values.dashboard.enabled }}
{{- if eq (include "identtqueue.dashboard.redis" .) "{}" }}
{{- fail "dashboard.enabled needs a Redis to look at: dashboard.redis.address, or redis.enabled." }}
{{- end }}
{{- $auth := .Values.dashboard.auth }}
{{- if and (eq $auth.mode "basic") (not $auth.usersSecret) }}
{{- fail "dashboard.auth.mode=basic needs dashboard.auth.usersSecret: a Secret with the key `users`, whose lines `identtqueue dashboard-user NAME` prints." }}
{{- end }}
{{- if and (eq $auth.mode "proxy") (not $auth.proxy.networks) }}
{{- fail "dashboard.auth.mode=proxy needs dashboard.auth.proxy.networks: the header that names the user counts only from there." }}
{{- end }}
{{- if and .Values.dashboard.ingress.enabled (not .Values.dashboard.ingress.host) }}
{{- fail "dashboard.ingress.enabled needs dashboard.ingress.host." }}
{{- end }}
{{- end }}
{{- if and .Values.test.redis.secretName (not .Values.test.redis.address) }}
{{- fail "test.redis.secretName needs test.redis.address." }}
{{- end }}
{{- end }}
