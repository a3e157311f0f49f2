"""What is right beyond types, in Starlark: the forms of texts, and what the fields of one object say about each other.

A form is a function of (text, place, key) that tells what is wrong and returns whether all is well; a rule one of (object, place).
Both only look. They are named by the tables in constructors_words.py. Source: Kubernetes' validation of API objects.
"""

from __future__ import annotations

from typing import Final

FORMS: Final = r'''
def bad(at, key, wanted, v, hint = ""):
    oops((at, key), "%s must be %s, is %s" % (named(at, key), wanted, json.encode(short(v))), hint)
    return False

def is_label(v):
    return v != "" and len(v) <= 63 and not v.strip(LABEL) and v[0] != "-" and v[-1] != "-"

def is_subdomain(v):
    if is_label(v):
        return True
    if v == "" or len(v) > 253 or v.strip(SUBDOMAIN):
        return False
    for part in v.split("."):
        if part == "" or part[0] == "-" or part[-1] == "-":
            return False
    return True

def tidy(v):
    """What a name would be with what is not allowed put right."""
    if "/" in v or ":" in v:
        return ""
    out = "".join([c if c in LABEL else "-" for c in v.lower().elems()]).strip("-")[:63].strip("-")
    return 'write "%s"' % out if out and out != v else ""

def dns_label(v, at, key):
    if is_label(v):
        return True
    return bad(at, key, "at most 63 lowercase letters, digits and -, beginning and ending with a letter or digit", v, tidy(v))

def dns_label_alpha(v, at, key):
    if is_label(v) and v[0] in LOWER:
        return True
    return bad(at, key, "at most 63 lowercase letters, digits and -, beginning with a letter and ending with a letter or digit", v, tidy(v) if v and v[0] not in DIGITS else "")

def dns_subdomain(v, at, key):
    if is_subdomain(v):
        return True
    return bad(at, key, "at most 253 lowercase letters, digits, - and ., each part beginning and ending with a letter or digit", v, tidy(v))

def host(v, at, key):
    if "://" in v:
        bare = v.partition("://")[2].partition("/")[0].partition(":")[0]
        return bad(at, key, "the name of a host", v, 'write "%s"' % bare if is_subdomain(bare) else "")
    return dns_subdomain(v[2:] if v.startswith("*.") else v, at, key)

def path_segment(v, at, key):
    if v and v != "." and v != ".." and "/" not in v and "%" not in v:
        return True
    return bad(at, key, "a name without / and %", v)

def is_key(v):
    if v and len(v) <= 63 and not v.strip(WORD) and v[0] in ALNUM and v[-1] in ALNUM:
        return True
    prefix, slash, name = v.rpartition("/")
    if slash and not is_subdomain(prefix):
        return False
    return name != "" and len(name) <= 63 and not name.strip(WORD) and name[0] in ALNUM and name[-1] in ALNUM

def label_key(v, at, key):
    if is_key(v):
        return True
    oops(at, "the key %s of %s is none: at most 63 letters, digits, -, _ and ., beginning and ending with a letter or digit, after an optional prefix such as example.com/" % (json.encode(short(v)), named(at[0], at[1]) if at else "it"))
    return False

def label_value(v, at, key):
    if v == "" or (len(v) <= 63 and not v.strip(WORD) and v[0] in ALNUM and v[-1] in ALNUM):
        return True
    return bad(at, key, "at most 63 letters, digits, -, _ and ., beginning and ending with a letter or digit, as the value of a label", v)

def config_key(v, at, key):
    if v and len(v) <= 253 and not v.strip(WORD) and v != "." and not v.startswith(".."):
        return True
    oops(at, "the key %s of %s must be letters, digits, -, _ and ." % (json.encode(short(v)), named(at[0], at[1]) if at else "it"))
    return False

def env_name(v, at, key):
    if v and "=" not in v and not v.strip(WORD + "!\"#$%&'()*+,/:;<>?@[\\]^`{|}~ "):
        return True
    return bad(at, key, "the name of an environment variable: printable characters without =", v)

def port_name(v, at, key):
    if v and len(v) <= 15 and not v.strip(LABEL) and v[0] != "-" and v[-1] != "-" and "--" not in v and v.strip(DIGITS + "-"):
        return True
    return bad(at, key, "a port's name: at most 15 lowercase letters, digits and -, with at least one letter", v)

def absolute_path(v, at, key):
    if v.startswith("/"):
        return True
    return bad(at, key, "a path that begins with /", v, 'write "/%s"' % v if v else "")

def mount_path(v, at, key):
    if v and ":" not in v:
        return True
    return bad(at, key, "a path without :", v)

def relative_path(v, at, key):
    if v and not v.startswith("/") and ".." not in v.split("/"):
        return True
    return bad(at, key, "a path that does not begin with / and has no ..", v)

def is_plain_image(v):
    """Whether a text is an image's reference for certain: most are, and need no closer reading."""
    path, colon, tag = v.rpartition(":")
    if not path or not tag or path.strip(IMAGE) or tag.strip(WORD) or len(tag) > 128 or tag[0] not in ALNUM:
        return False
    for part in path.split("/"):
        if not part or ".." in part or part[0] in ".-" or part[-1] in ".-" or ".-" in part or "-." in part:
            return False
    return True

def image(v, at, key):
    if is_plain_image(v):
        return True
    fault = image_fault(v)
    if not fault[0]:
        return True
    oops((at, key), "%s %s" % (named(at, key), fault[0]), fault[1])
    return False

def asked(sort):
    def form(v, at, key):
        fault = text_fault(sort, v)
        if not fault[0]:
            return True
        oops((at, key), "%s %s" % (named(at, key), fault[0]), fault[1])
        return False
    return form

FORMS = {
    "dns-label": dns_label,
    "dns-label-alpha": dns_label_alpha,
    "dns-subdomain": dns_subdomain,
    "host": host,
    "path-segment": path_segment,
    "label-key": label_key,
    "label-value": label_value,
    "config-key": config_key,
    "env-name": env_name,
    "port-name": port_name,
    "absolute-path": absolute_path,
    "mount-path": mount_path,
    "relative-path": relative_path,
    "image": image,
    "cron": asked("cron"),
    "time-zone": asked("time-zone"),
    "ip": asked("ip"),
    "cidr": asked("cidr"),
    "base64": asked("base64"),
    "duration": asked("duration"),
    "time": asked("time"),
    "semver-range": asked("semver-range"),
}
'''

RULES: Final = r"""
def has(o, field):
    return getattr(o, field, None) != None

def items(o, field):
    return getattr(o, field, None) or []

def given(o, but = ()):
    return [k for k in dir(o) if k and k not in but and getattr(o, k) != None]

def exactly_one(what, of, but = (), none = ""):
    def rule(o, at):
        have = [k for k in of if has(o, k)] if of else given(o, but)
        if not have:
            oops(at, "%s needs %s" % (what, none or "one of " + ", ".join(["`%s`" % k for k in of])))
        elif len(have) > 1:
            oops((at, have[1]), "%s has %s; only one of them may be given" % (what, " and ".join(["`%s`" % k for k in have])))
    return rule

def at_most_one(what, of):
    def rule(o, at):
        have = [k for k in of if has(o, k)]
        if len(have) > 1:
            oops((at, have[1]), "%s has %s; only one of them may be given" % (what, " and ".join(["`%s`" % k for k in have])))
    return rule

def volume(o, at):
    have = given(o, ("name",))
    if not have:
        oops(at, "the volume %s has no source" % json.encode(o.name), "write emptyDir = {} if an empty directory is meant")
    elif len(have) > 1:
        oops((at, have[1]), "the volume %s has %d sources, %s; a volume has exactly one" % (json.encode(o.name), len(have), " and ".join(["`%s`" % k for k in have])))

def container(o, at):
    seen = {}
    for i, port in enumerate(items(o, "ports")):
        name = getattr(port, "name", None)
        if name:
            if name in seen:
                oops(((((at, "ports")), i), "name"), "two ports of the container %s are named %s" % (json.encode(o.name), json.encode(name)), "each must be another one")
            seen[name] = True

def resources(o, at):
    requests, limits = getattr(o, "requests", None) or {}, getattr(o, "limits", None) or {}
    for where, amounts in (("requests", requests), ("limits", limits)):
        for name in ("memory", "ephemeral-storage"):
            v = amounts.get(name)
            if type(v) == "string" and v.endswith("m"):
                oops(((at, where), name), "`%s` is %s, thousandths of a byte" % (name, json.encode(v)), 'did you mean "%sMi"?' % v[:-1])
            elif v != None and 0 < len(str(v)) and not str(v).strip(DIGITS) and 0 < int(v) and int(v) < 1048576:
                oops(((at, where), name), "`%s` is %s bytes, less than anything needs" % (name, v), 'did you mean "%sMi"?' % v)
    for name, request in requests.items():
        limit = limits.get(name)
        if limit != None and request != limit and compare_quantities(str(request), str(limit)) > 0:
            oops(((at, "requests"), name), "the request of %s, %s, is more than its limit, %s" % (name, request, limit))

def all_containers(o):
    out = []
    for field in ("initContainers", "containers", "ephemeralContainers"):
        found = getattr(o, field, None)
        if found:
            out += [(field, i, c) for i, c in enumerate(found)]
    return out

def pod(o, at):
    volumes = {v.name: True for v in items(o, "volumes")}
    names = {}
    ports = {}
    if not items(o, "containers"):
        oops((at, "containers"), "a pod needs at least one container")
    for field, i, c in all_containers(o):
        here = ((at, field), i)
        if c.name in names:
            if names[c.name] != field:
                oops((here, "name"), "two containers of the pod are named %s: one of `%s` and one of `%s`" % (json.encode(c.name), names[c.name], field), "each must be another one")
        names[c.name] = field
        for j, mount in enumerate(items(c, "volumeMounts")):
            if mount.name not in volumes:
                unknown_reference(keys_of((((here, "volumeMounts"), j), "name")), "the container %s mounts the volume" % json.encode(c.name), mount.name, volumes.keys(), "the pod has", call_stack())
        for j, port in enumerate(items(c, "ports")):
            number = getattr(port, "hostPort", None)
            if number:
                key = (number, getattr(port, "protocol", None) or "TCP", getattr(port, "hostIP", None))
                if key in ports:
                    oops((((here, "ports"), j), "hostPort"), "two ports of the pod want the host's port %d" % number, "each must be another one")
                ports[key] = True

def port_names(spec):
    out = {}
    for field, i, c in all_containers(spec):
        for port in items(c, "ports"):
            if getattr(port, "name", None):
                out[port.name] = True
    return out

def probes(o, at):
    if not (has(o, "livenessProbe") or has(o, "readinessProbe") or has(o, "startupProbe")):
        return
    known = {p.name: True for p in items(o, "ports") if getattr(p, "name", None)}
    for field in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = getattr(o, field, None)
        for sort in ("httpGet", "tcpSocket"):
            action = getattr(probe, sort, None) if probe != None else None
            port = getattr(action, "port", None) if action != None else None
            if type(port) == "string" and port not in known:
                unknown_reference(keys_of((((at, field), sort), "port")), "`%s` asks the port" % field, port, known.keys(), "the container has", call_stack())
    for field in ("livenessProbe", "startupProbe"):
        probe = getattr(o, field, None)
        if probe != None and (getattr(probe, "successThreshold", None) or 1) != 1:
            oops(((at, field), "successThreshold"), "`successThreshold` of `%s` must be 1, is %d" % (field, probe.successThreshold))

def selecting(what):
    def rule(o, at):
        selector = getattr(o, "selector", None)
        if selector == None:
            return
        wanted = getattr(selector, "matchLabels", None) or {}
        if not wanted and not items(selector, "matchExpressions"):
            oops((at, "selector"), "the selector of a %s must select something, is empty" % what, "write matchLabels")
            return
        meta = getattr(o.template, "metadata", None)
        have = (getattr(meta, "labels", None) or {}) if meta != None else {}
        for k, v in wanted.items():
            if have.get(k) != v:
                what_is = "has %s for it" % json.encode(have[k]) if k in have else "lacks"
                oops((((at, "selector"), "matchLabels"), k), "the selector wants the label %s=%s, which the template %s" % (k, v, what_is), "give both the same labels")
        for i, e in enumerate(items(selector, "matchExpressions")):
            here = have.get(e.key)
            values = items(e, "values")
            fits = (here in values) if e.operator == "In" else (here not in values) if e.operator == "NotIn" else (here != None) == (e.operator == "Exists")
            if not fits:
                oops((((at, "selector"), "matchExpressions"), i), "the selector wants `%s` %s %s, which the template's labels do not fit" % (e.key, e.operator, json.encode(values)))
    return rule

def restarting(allowed, what):
    def rule(o, at):
        template = getattr(o, "template", None)
        spec = getattr(template, "spec", None) if template != None else None
        if spec == None:
            return
        have = getattr(spec, "restartPolicy", None)
        if have == None and "Always" not in allowed:
            oops((((at, "template"), "spec"), "restartPolicy"), "the pods of a %s need `restartPolicy` %s" % (what, " or ".join(['"%s"' % a for a in allowed])))
        elif have != None and have not in allowed:
            oops((((at, "template"), "spec"), "restartPolicy"), "`restartPolicy` of the pods of a %s must be %s, is %s" % (what, " or ".join(['"%s"' % a for a in allowed]), json.encode(have)))
    return rule

def strategy(o, at):
    if getattr(o, "type", None) == "Recreate" and has(o, "rollingUpdate"):
        oops((at, "rollingUpdate"), '`rollingUpdate` may not be given when `type` is "Recreate"')
    rolling = getattr(o, "rollingUpdate", None)
    if rolling != None and str(getattr(rolling, "maxSurge", None)) in ("0", "0%") and str(getattr(rolling, "maxUnavailable", None)) in ("0", "0%"):
        oops(((at, "rollingUpdate"), "maxSurge"), "`maxSurge` and `maxUnavailable` may not both be 0: no pod could ever be replaced")

def service(o, at):
    sort = getattr(o, "type", None) or "ClusterIP"
    ports = items(o, "ports")
    if sort == "ExternalName":
        if not has(o, "externalName"):
            oops(at, 'a Service of type "ExternalName" needs `externalName`')
        return
    if not ports and getattr(o, "clusterIP", None) != "None":
        oops(at, "a Service needs `ports`, unless it is headless or of type ExternalName")
    names = {}
    for i, port in enumerate(ports):
        name = getattr(port, "name", None)
        if len(ports) > 1 and not name:
            oops(((at, "ports"), i), "a Service with several ports needs a `name` for each, port %d has none" % port.port)
        if name and name in names:
            oops((((at, "ports"), i), "name"), "two ports of the Service are named %s" % json.encode(name), "each must be another one")
        names[name] = True
        if has(port, "nodePort") and sort == "ClusterIP":
            oops((((at, "ports"), i), "nodePort"), '`nodePort` wants `type` "NodePort" or "LoadBalancer", the Service is of type "ClusterIP"')

def autoscaler(o, at):
    low, high = getattr(o, "minReplicas", None), getattr(o, "maxReplicas", None)
    if low != None and high != None and low > high:
        oops((at, "minReplicas"), "`minReplicas`, %d, is more than `maxReplicas`, %d" % (low, high))

METRICS = {"Resource": "resource", "Pods": "pods", "Object": "object", "External": "external", "ContainerResource": "containerResource"}

def metric(o, at):
    want = METRICS.get(o.type)
    if want and not has(o, want):
        oops(at, 'a metric of type "%s" needs `%s`' % (o.type, want))
    for k in METRICS.values():
        if k != want and has(o, k):
            oops((at, k), '`%s` may not be given for a metric of type "%s"' % (k, o.type))

def requirement(o, at):
    wants = o.operator in ("In", "NotIn", "Gt", "Lt")
    if wants and not items(o, "values"):
        oops((at, "values"), "`%s` with the operator %s needs `values`" % (o.key, o.operator))
    elif not wants and items(o, "values"):
        oops((at, "values"), "`%s` with the operator %s takes no `values`" % (o.key, o.operator))

def peer(o, at):
    if has(o, "ipBlock") and (has(o, "podSelector") or has(o, "namespaceSelector")):
        oops((at, "ipBlock"), "`ipBlock` may not be given together with a selector")

def policy_rule(o, at):
    if has(o, "nonResourceURLs"):
        if has(o, "resources") or has(o, "apiGroups"):
            oops((at, "nonResourceURLs"), "a rule is either for `resources` or for `nonResourceURLs`")
    elif not items(o, "resources"):
        oops(at, "PolicyRule needs `resources`, or `nonResourceURLs`")
    elif getattr(o, "apiGroups", None) == None:
        oops(at, "PolicyRule needs `apiGroups`", 'write [""] for the core group')
    if not items(o, "verbs"):
        oops((at, "verbs"), "PolicyRule needs at least one verb")

def subject(o, at):
    if o.kind == "ServiceAccount" and not getattr(o, "namespace", None):
        oops(at, "a subject of kind ServiceAccount needs `namespace`")

def claim(o, at):
    requests = getattr(getattr(o, "resources", None), "requests", None) or {}
    if not requests.get("storage"):
        oops((at, "resources"), "PersistentVolumeClaim needs an amount of storage", 'write resources = {"requests": {"storage": "1Gi"}}')
    if not items(o, "accessModes"):
        oops((at, "accessModes"), "PersistentVolumeClaim needs `accessModes`", 'write ["ReadWriteOnce"]')

def keyed_data(o, at):
    both = [k for k in (getattr(o, "data", None) or {}) if k in (getattr(o, "binaryData", None) or {})]
    if both:
        oops((at, "binaryData"), "the key %s is in both `data` and `binaryData`" % json.encode(both[0]))

def security(o, at):
    if getattr(o, "privileged", None) == True and getattr(o, "allowPrivilegeEscalation", None) == False:
        oops((at, "allowPrivilegeEscalation"), "`allowPrivilegeEscalation` may not be False when `privileged` is True")
    if getattr(o, "runAsNonRoot", None) == True and getattr(o, "runAsUser", None) == 0:
        oops((at, "runAsUser"), "`runAsUser` may not be 0 when `runAsNonRoot` is True")

def ingress(o, at):
    if not items(o, "rules") and not has(o, "defaultBackend"):
        oops(at, "an Ingress needs `rules` or `defaultBackend`")

def mount(o, at):
    if has(o, "subPath") and has(o, "subPathExpr"):
        oops((at, "subPathExpr"), "`subPath` and `subPathExpr` may not both be given")

RULES = {
    "Volume": [volume],
    "Container": [container, probes],
    "ResourceRequirements": [resources],
    "PodSpec": [pod],
    "DeploymentSpec": [selecting("Deployment"), restarting(["Always"], "Deployment")],
    "ReplicaSetSpec": [restarting(["Always"], "ReplicaSet")],
    "StatefulSetSpec": [selecting("StatefulSet"), restarting(["Always"], "StatefulSet")],
    "DaemonSetSpec": [selecting("DaemonSet"), restarting(["Always"], "DaemonSet")],
    "JobSpec": [restarting(["OnFailure", "Never"], "Job")],
    "DeploymentStrategy": [strategy],
    "EnvVar": [at_most_one("EnvVar", ["value", "valueFrom"])],
    "EnvVarSource": [exactly_one("EnvVarSource", ["configMapKeyRef", "secretKeyRef", "fieldRef", "resourceFieldRef"])],
    "EnvFromSource": [exactly_one("EnvFromSource", ["configMapRef", "secretRef"])],
    "VolumeProjection": [exactly_one("VolumeProjection", ["configMap", "secret", "downwardAPI", "serviceAccountToken", "clusterTrustBundle"])],
    "VolumeMount": [mount],
    "Probe": [exactly_one("Probe", ["httpGet", "tcpSocket", "exec", "grpc"])],
    "LifecycleHandler": [exactly_one("LifecycleHandler", ["httpGet", "exec", "sleep", "tcpSocket"])],
    "ServiceSpec": [service],
    "HorizontalPodAutoscalerSpec": [autoscaler],
    "MetricSpec": [metric],
    "LabelSelectorRequirement": [requirement],
    "NodeSelectorRequirement": [requirement],
    "NetworkPolicyPeer": [peer],
    "PolicyRule": [policy_rule],
    "Subject": [subject],
    "PersistentVolumeClaimSpec": [claim],
    "PodDisruptionBudgetSpec": [at_most_one("PodDisruptionBudgetSpec", ["minAvailable", "maxUnavailable"])],
    "IngressSpec": [ingress],
    "IngressBackend": [exactly_one("IngressBackend", ["service", "resource"])],
    "ServiceBackendPort": [exactly_one("ServiceBackendPort", ["name", "number"])],
    "ConfigMap": [keyed_data],
    "SecurityContext": [security],
}
"""
