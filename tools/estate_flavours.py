"""What clusters of several makers hold before anybody runs anything of their own: nodes, add-ons, classes, webhooks, API services.

Data alone, for estates.py. A flavour has `nodes`, `workloads` (see Estate.work), `objects` (see Estate.add), and `each namespace`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Resource = dict[str, Any]

SIDECAR: Resource = {
    "initContainers": [
        {"name": "istio-init", "image": "docker.io/istio/proxyv2:1.24.2", "args": ["istio-iptables", "-p", "15001", "-z", "15006", "-u", "1337"],
         "securityContext": {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}, "runAsUser": 0, "runAsNonRoot": False}},
        {"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.24.2", "restartPolicy": "Always",
         "args": ["proxy", "sidecar", "--domain", "$(POD_NAMESPACE).svc.cluster.local", "--proxyLogLevel=warning"],
         "ports": [{"name": "http-envoy-prom", "containerPort": 15090, "protocol": "TCP"}],
         "env": [{"name": "CA_ADDR", "value": "istiod.istio-system.svc:15012"}, {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}],
         "readinessProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021}, "periodSeconds": 15, "failureThreshold": 4},
         "startupProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021}, "periodSeconds": 1, "failureThreshold": 600}},
    ],
}  # fmt: skip
"""What Istio adds to a pod, as a native sidecar."""


def _crd(
    plural: str, group: str, kind: str, version: str = "v1", scope: str = "Namespaced", *, plain: bool = False
) -> Resource:
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    return {
        "kind": "CustomResourceDefinition", "name": f"{plural}.{group}",
        "spec": {"group": group, "scope": scope, "names": names, "conversion": {"strategy": "None"},
                 "versions": [{"name": version, "served": True, "storage": True, **({} if plain else {"subresources": {"status": {}}}), "schema": {"openAPIV3Schema": {"type": "object"}}}]},
        "status": {"acceptedNames": names, "storedVersions": [version],
                   "conditions": [{"type": "NamesAccepted", "status": "True", "reason": "NoConflicts"}, {"type": "Established", "status": "True", "reason": "InitialNamesAccepted"}]},
    }  # fmt: skip


def _hook(kind: str, name: str, space: str, service: str, *, port: int = 443, policy: str = "Fail", groups: Sequence[str] = ("apps",), resources: Sequence[str] = ("*",)) -> Resource:  # fmt: skip
    return {
        "kind": f"{kind}WebhookConfiguration", "name": name,
        "webhooks": [{"name": f"{name}.example.io", "failurePolicy": policy, "sideEffects": "None", "timeoutSeconds": 10, "matchPolicy": "Equivalent",
                      "admissionReviewVersions": ["v1"], "namespaceSelector": {}, "objectSelector": {},
                      "clientConfig": {"service": {"name": service, "namespace": space, "path": "/mutate", "port": port}},
                      "rules": [{"apiGroups": list(groups), "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": list(resources), "scope": "*"}]}],
    }  # fmt: skip


def _api(
    name: str, space: str, service: str, group: str = "metrics.k8s.io", version: str = "v1beta1"
) -> Resource:
    return {
        "kind": "APIService", "name": name,
        "spec": {"group": group, "version": version, "service": {"name": service, "namespace": space, "port": 443}, "groupPriorityMinimum": 100, "versionPriority": 100, "insecureSkipTLSVerify": True},
        "status": {"conditions": [{"type": "Available", "status": "True", "reason": "Passed", "message": "all checks passed"}]},
    }  # fmt: skip


def _class(name: str, provisioner: str, *, default: bool = False) -> Resource:
    return {
        "kind": "StorageClass", "name": name, "provisioner": provisioner, "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer", "allowVolumeExpansion": True,
        "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}},
    }  # fmt: skip


def _role(name: str, space: str, account: str, *rules: tuple[str, str, str]) -> list[Resource]:
    """A ClusterRole of a controller, bound to its account: each rule is groups, resources, verbs, by commas."""
    split = [
        {"apiGroups": groups.split(","), "resources": resources.split(","), "verbs": verbs.split(",")}
        for groups, resources, verbs in rules
    ]
    return [
        {"kind": "ClusterRole", "name": name, "rules": split},
        {
            "kind": "ClusterRoleBinding",
            "name": name,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": space}],
        },
    ]


def _web(name: str, space: str, port: int, *, target: int | None = None, **more: Any) -> Resource:
    return {
        "name": name,
        "namespace": space,
        "port": target or port,
        "service": {"ports": [{"name": "https", "port": port, "targetPort": target or port}]},
        **more,
    }


_ANYWHERE = {
    "tolerations": [{"operator": "Exists"}],
    "hostNetwork": True,
    "priorityClassName": "system-node-critical",
}
_WINDOWS = {"nodeSelector": {"kubernetes.io/os": "windows"}}
_LINUX = {"nodeSelector": {"kubernetes.io/os": "linux"}}

COMMON: Sequence[Resource] = (
    {"kind": "Service", "name": "kubernetes", "namespace": "default", "spec": {"type": "ClusterIP", "clusterIP": "172.20.0.1", "ports": [{"name": "https", "port": 443, "targetPort": 443}]}, "status": {"loadBalancer": {}}},
    {"kind": "PriorityClass", "name": "system-node-critical", "value": 2_000_001_000}, {"kind": "PriorityClass", "name": "system-cluster-critical", "value": 2_000_000_000},
    {"kind": "ConfigMap", "name": "extension-apiserver-authentication", "namespace": "kube-system", "data": {"client-ca-file": "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n"}},
    {"kind": "ClusterRole", "name": "cluster-admin", "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*"], "verbs": ["*"]}]},
    {"kind": "ClusterRole", "name": "admin", "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}}]}, "rules": []},
    {"kind": "ClusterRoleBinding", "name": "cluster-admin", "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}, "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:masters"}]},
    {"kind": "ClusterRole", "name": "system:controller:job-controller", "rules": [{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list"]}]},
    {"kind": "ClusterRoleBinding", "name": "system:controller:job-controller", "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:controller:job-controller"}, "subjects": [{"kind": "ServiceAccount", "name": "job-controller", "namespace": "kube-system"}]},
    {"kind": "RoleBinding", "name": "oncall", "namespace": "default", "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"}, "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "ops@example.com"}]},
)  # fmt: skip
"""What every cluster has. Some accounts that bindings name never exist: controllers have no need of them."""

LEFT: Sequence[Resource] = (
    {"kind": "Secret", "name": "sh.helm.release.v1.shop.v7", "type": "helm.sh/release.v1", "metadata": {"labels": {"owner": "helm", "status": "deployed"}}, "data": {"release": "SDRzSUFBQUFBQUFDLzNxTHVB"}},
    {"kind": "Secret", "name": "regcred", "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "eyJhdXRocyI6eyJyZWdpc3RyeS5leGFtcGxlLmNvbSI6eyJhdXRoIjoiWW05ME9uTmxZMjFsZEE9PSJ9fX0="}},
    {"kind": "Service", "name": "legacy-erp", "spec": {"type": "ClusterIP", "clusterIP": "172.20.9.9", "ports": [{"name": "db", "port": 1521, "targetPort": 1521}]}, "status": {"loadBalancer": {}}},
    {"kind": "Service", "name": "payments-api", "spec": {"type": "ExternalName", "externalName": "api.payments.example.com"}, "status": {"loadBalancer": {}}},
    {"kind": "LimitRange", "name": "defaults", "spec": {"limits": [{"type": "Container", "default": {"memory": "512Mi"}, "defaultRequest": {"cpu": "50m", "memory": "64Mi"}}]}},
    {"kind": "CronJob", "name": "yearly-report", "spec": {"schedule": "0 3 1 1 *", "suspend": True, "concurrencyPolicy": "Allow", "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "report", "image": "ghcr.io/open-apps/report:1"}]}}}}}, "status": {}},
)  # fmt: skip
"""What lies about in a namespace in use: releases, credentials, Services without selectors."""

_CERT_MANAGER: Sequence[Resource] = (
    {
        "name": "cert-manager",
        "namespace": "cert-manager",
        "port": 9402,
        "image": "quay.io/jetstack/cert-manager-controller:v1.16.2",
    },
    {
        "name": "cert-manager-cainjector",
        "namespace": "cert-manager",
        "image": "quay.io/jetstack/cert-manager-cainjector:v1.16.2",
    },
    _web(
        "cert-manager-webhook",
        "cert-manager",
        443,
        target=10250,
        image="quay.io/jetstack/cert-manager-webhook:v1.16.2",
    ),
)
_CERT_OBJECTS: Sequence[Resource] = (
    _crd("certificates", "cert-manager.io", "Certificate"),
    _crd("clusterissuers", "cert-manager.io", "ClusterIssuer", scope="Cluster"),
    _crd("certificaterequests", "cert-manager.io", "CertificateRequest"),
    _hook("Validating", "cert-manager-webhook", "cert-manager", "cert-manager-webhook", groups=["cert-manager.io"]),
    {"kind": "ClusterIssuer", "apiVersion": "cert-manager.io/v1", "name": "letsencrypt", "spec": {"acme": {"server": "https://acme-v02.api.letsencrypt.org/directory", "privateKeySecretRef": {"name": "letsencrypt-account"}, "solvers": [{"http01": {"ingress": {"class": "nginx"}}}]}},
     "status": {"acme": {"uri": "https://acme-v02.api.letsencrypt.org/acme/acct/1"}, "conditions": [{"type": "Ready", "status": "True", "reason": "ACMEAccountRegistered", "message": "The ACME account was registered with the ACME server"}]}},
    {"kind": "Secret", "name": "letsencrypt-account", "namespace": "cert-manager", "type": "Opaque", "data": {"tls.key": "LS0tLS1CRUdJTg=="}},
)  # fmt: skip
_ESO_WORK: Sequence[Resource] = (
    {"name": "external-secrets", "namespace": "external-secrets", "port": 8080, "service": False, "image": "oci.external-secrets.io/external-secrets/external-secrets:v0.12.1"},
    {"name": "external-secrets-cert-controller", "namespace": "external-secrets", "image": "oci.external-secrets.io/external-secrets/external-secrets:v0.12.1"},
    _web("external-secrets-webhook", "external-secrets", 443, target=10250, image="oci.external-secrets.io/external-secrets/external-secrets:v0.12.1"),
)  # fmt: skip
_ESO_OBJECTS: Sequence[Resource] = (
    _crd("externalsecrets", "external-secrets.io", "ExternalSecret", "v1beta1"),
    _crd("clustersecretstores", "external-secrets.io", "ClusterSecretStore", "v1beta1", "Cluster"),
    _hook("Validating", "externalsecret-validate", "external-secrets", "external-secrets-webhook", groups=["external-secrets.io"]),
    {"kind": "ClusterSecretStore", "apiVersion": "external-secrets.io/v1beta1", "name": "vault", "spec": {"provider": {"aws": {"service": "SecretsManager", "region": "eu-west-1"}}},
     "status": {"capabilities": "ReadWrite", "conditions": [{"type": "Ready", "status": "True", "reason": "Valid", "message": "store validated"}]}},
)  # fmt: skip
_NGINX: Sequence[Resource] = (
    {"name": "ingress-nginx-controller", "namespace": "ingress-nginx", "replicas": 2, "image": "registry.k8s.io/ingress-nginx/controller:v1.12.0",
     "labels": {"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"},
     "template": {"ports": [{"name": "http", "containerPort": 80}, {"name": "https", "containerPort": 443}, {"name": "webhook", "containerPort": 8443}],
                  "args": ["/nginx-ingress-controller", "--publish-service=$(POD_NAMESPACE)/ingress-nginx-controller", "--controller-class=k8s.io/ingress-nginx", "--ingress-class=nginx", "--configmap=$(POD_NAMESPACE)/ingress-nginx-controller"],
                  "env": [{"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}],
                  "readinessProbe": {"httpGet": {"path": "/healthz", "port": 10254, "scheme": "HTTP"}}, "livenessProbe": {"httpGet": {"path": "/healthz", "port": 10254}},
                  "volumes": [{"name": "webhook-cert", "secret": {"secretName": "ingress-nginx-admission"}}]},
     "service": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 31211, "ports": [{"name": "http", "port": 80, "targetPort": "http", "nodePort": 31080}, {"name": "https", "port": 443, "targetPort": "https", "nodePort": 31443}]}},
)  # fmt: skip
_NGINX_OBJECTS: Sequence[Resource] = (
    {"kind": "IngressClass", "name": "nginx", "spec": {"controller": "k8s.io/ingress-nginx"}},
    {"kind": "ConfigMap", "name": "ingress-nginx-controller", "namespace": "ingress-nginx", "data": {}},
    {"kind": "Secret", "name": "ingress-nginx-admission", "namespace": "ingress-nginx", "data": {"cert": "LS0=", "key": "LS0=", "ca": "LS0="}},
    {"kind": "Service", "name": "ingress-nginx-controller-admission", "namespace": "ingress-nginx", "spec": {"type": "ClusterIP", "selector": {"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"}, "ports": [{"name": "https-webhook", "port": 443, "targetPort": "webhook"}]}},
    _hook("Validating", "ingress-nginx-admission", "ingress-nginx", "ingress-nginx-controller-admission", groups=["networking.k8s.io"], resources=["ingresses"]),
    {"kind": "Job", "name": "ingress-nginx-admission-patch", "namespace": "ingress-nginx", "age": "40d", "spec": {"template": {"spec": {"restartPolicy": "OnFailure", "serviceAccountName": "ingress-nginx-admission", "containers": [{"name": "patch", "image": "registry.k8s.io/ingress-nginx/kube-webhook-certgen:v1.5.0"}]}}},
     "status": {"succeeded": 1, "completionTime": "2026-01-20T00:00:00Z", "conditions": [{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True", "reason": "CompletionsReached"}]}},
)  # fmt: skip
_DNS: Sequence[Resource] = (
    {"name": "coredns", "namespace": "kube-system", "replicas": 2, "labels": {"k8s-app": "kube-dns"}, "image": "registry.k8s.io/coredns/coredns:v1.11.3", "service": False,
     "template": {"args": ["-conf", "/etc/coredns/Corefile"], "ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}, {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"}, {"name": "metrics", "containerPort": 9153}],
                  "dnsPolicy": "Default", "priorityClassName": "system-cluster-critical", "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}, {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}],
                  "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/coredns", "readOnly": True}],
                  "volumes": [{"name": "config-volume", "configMap": {"name": "coredns", "items": [{"key": "Corefile", "path": "Corefile"}]}}],
                  "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}}, "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}}}},
)  # fmt: skip
_DNS_OBJECTS: Sequence[Resource] = (
    {"kind": "ConfigMap", "name": "coredns", "namespace": "kube-system", "data": {"Corefile": ".:53 {\n    errors\n    health {\n       lameduck 5s\n    }\n    ready\n    kubernetes cluster.local in-addr.arpa ip6.arpa {\n       pods insecure\n       fallthrough in-addr.arpa ip6.arpa\n    }\n    forward . /etc/resolv.conf\n    cache 30\n    loop\n    reload\n    loadbalance\n}\n"}},
    {"kind": "Service", "name": "kube-dns", "namespace": "kube-system", "metadata": {"labels": {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true"}}, "spec": {"type": "ClusterIP", "clusterIP": "172.20.0.10", "selector": {"k8s-app": "kube-dns"}, "ports": [{"name": "dns", "port": 53, "targetPort": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "targetPort": 53, "protocol": "TCP"}, {"name": "metrics", "port": 9153, "targetPort": 9153}]}},
    {"kind": "PodDisruptionBudget", "name": "coredns", "namespace": "kube-system", "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"k8s-app": "kube-dns"}}}, "status": {"currentHealthy": 2, "desiredHealthy": 1, "disruptionsAllowed": 1, "expectedPods": 2, "observedGeneration": 1, "conditions": [{"type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods"}]}},
)  # fmt: skip
_METRICS: Sequence[Resource] = (
    _web("metrics-server", "kube-system", 443, target=10250, image="registry.k8s.io/metrics-server/metrics-server:v0.7.2", template={"args": ["--cert-dir=/tmp", "--secure-port=10250", "--kubelet-preferred-address-types=InternalIP"], "readinessProbe": {"httpGet": {"path": "/readyz", "port": 10250, "scheme": "HTTPS"}}}),
)  # fmt: skip

_EKS: Resource = {
    "version": "v1.31.4-eks-aeac579", "os": "Amazon Linux 2023.6.20250203", "runtime": "containerd://1.7.25", "storage": "gp3", "driver": "ebs.csi.aws.com",
    "namespaces": ["cert-manager", "external-secrets", "karpenter", "amazon-cloudwatch"],
    "nodes": [
        {"name": "ip-10-0-11-23.eu-west-1.compute.internal", "labels": {"eks.amazonaws.com/nodegroup": "general", "node.kubernetes.io/instance-type": "m6i.2xlarge"}},
        {"name": "ip-10-0-12-77.eu-west-1.compute.internal", "labels": {"eks.amazonaws.com/nodegroup": "general", "node.kubernetes.io/instance-type": "m6i.2xlarge"}},
        {"name": "ip-10-0-13-140.eu-west-1.compute.internal", "labels": {"eks.amazonaws.com/nodegroup": "general", "node.kubernetes.io/instance-type": "m6i.2xlarge"}},
        {"name": "ip-10-0-13-201.eu-west-1.compute.internal", "apart": True, "labels": {"eks.amazonaws.com/nodegroup": "gpu"}, "room": {"nvidia.com/gpu": "4"}, "taints": [{"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}]},
        {"name": "fargate-ip-10-0-21-5.eu-west-1.compute.internal", "apart": True, "labels": {"eks.amazonaws.com/compute-type": "fargate"}, "taints": [{"key": "eks.amazonaws.com/compute-type", "value": "fargate", "effect": "NoSchedule"}]},
        {"name": "ip-10-0-12-9.eu-west-1.compute.internal", "apart": True, "os": "windows", "version": "v1.31.3-eks-56e63d8", "taints": [{"key": "os", "value": "windows", "effect": "NoSchedule"}]},
    ],
    "workloads": [
        *_DNS, *_METRICS, *_CERT_MANAGER, *_ESO_WORK,
        {"name": "aws-node", "namespace": "kube-system", "kind": "DaemonSet", "image": "602401143452.dkr.ecr.eu-west-1.amazonaws.com/amazon-k8s-cni:v1.19.2", "template": {**_ANYWHERE, "env": [{"name": "ANNOTATE_POD_IP", "value": "false"}, {"name": "AWS_VPC_K8S_CNI_EXTERNALSNAT", "value": "false"}, {"name": "CLUSTER_ENDPOINT", "value": "https://4F2A9.gr7.eu-west-1.eks.amazonaws.com"}]}},
        {"name": "kube-proxy", "namespace": "kube-system", "kind": "DaemonSet", "template": {**_ANYWHERE, "volumes": [{"name": "config", "configMap": {"name": "kube-proxy-config"}}]}},
        {"name": "ebs-csi-node", "namespace": "kube-system", "kind": "DaemonSet", "template": {**_ANYWHERE, "containers": [{"name": "node-driver-registrar", "image": "public.ecr.aws/eks-distro/kubernetes-csi/node-driver-registrar:v2.13.0"}, {"name": "liveness-probe", "image": "public.ecr.aws/eks-distro/kubernetes-csi/livenessprobe:v2.14.0"}]}},
        {"name": "ebs-csi-node-windows", "namespace": "kube-system", "kind": "DaemonSet", "on": [], "account": "ebs-csi-node", "template": {**_WINDOWS}},
        {"name": "ebs-csi-controller", "namespace": "kube-system", "replicas": 2, "template": {"containers": [{"name": one, "image": f"public.ecr.aws/eks-distro/kubernetes-csi/{one}:v4"} for one in ("csi-provisioner", "csi-attacher", "csi-resizer", "liveness-probe")]}},
        _web("aws-load-balancer-controller", "kube-system", 443, target=9443, replicas=2, template={"args": ["--cluster-name=prod", "--ingress-class=alb"]}),
        {"name": "karpenter", "namespace": "karpenter", "replicas": 2, "port": 8080, "template": {"env": [{"name": "CLUSTER_NAME", "value": "prod"}, {"name": "INTERRUPTION_QUEUE", "value": "prod"}, {"name": "KUBERNETES_MIN_VERSION", "value": "1.19.0-0"}]}},
        {"name": "cloudwatch-agent", "namespace": "amazon-cloudwatch", "kind": "DaemonSet", "port": 4315},
        {"name": "nvidia-device-plugin", "namespace": "kube-system", "kind": "DaemonSet", "on": ["ip-10-0-13-201.eu-west-1.compute.internal"], "template": {"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]}},
    ],
    "objects": [
        *_DNS_OBJECTS, *_CERT_OBJECTS, *_ESO_OBJECTS, _class("gp2", "kubernetes.io/aws-ebs"), _class("gp3", "ebs.csi.aws.com", default=True), _api("v1beta1.metrics.k8s.io", "kube-system", "metrics-server"),
        {"kind": "IngressClass", "name": "alb", "spec": {"controller": "ingress.k8s.aws/alb"}},
        {"kind": "ConfigMap", "name": "aws-auth", "namespace": "kube-system", "data": {"mapRoles": "- rolearn: arn:aws:iam::111122223333:role/node\n"}},
        {"kind": "ConfigMap", "name": "kube-proxy-config", "namespace": "kube-system", "data": {"config": "{}"}},
        _crd("nodepools", "karpenter.sh", "NodePool", scope="Cluster"), _crd("targetgroupbindings", "elbv2.k8s.aws", "TargetGroupBinding", "v1beta1"), _crd("eniconfigs", "crd.k8s.amazonaws.com", "ENIConfig", "v1alpha1", "Cluster"), _crd("policyendpoints", "networking.k8s.aws", "PolicyEndpoint", "v1alpha1"),
        _hook("Mutating", "aws-load-balancer-webhook", "kube-system", "aws-load-balancer-controller", groups=["elbv2.k8s.aws"]),
        {"kind": "MutatingWebhookConfiguration", "name": "pod-identity-webhook", "webhooks": [{"name": "iam-for-pods.amazonaws.com", "failurePolicy": "Ignore", "clientConfig": {"url": "https://127.0.0.1:23443/mutate", "caBundle": "LS0tLS1CRUdJTg=="}, "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]}]},
        {"kind": "ValidatingWebhookConfiguration", "name": "vpc-resource-validating-webhook", "webhooks": [{"name": "vpc.k8s.aws", "failurePolicy": "Ignore", "clientConfig": {"url": "https://127.0.0.1:23443/validate"}, "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]}]},
    ],
}  # fmt: skip

_GKE: Resource = {
    "version": "v1.30.8-gke.1162001", "os": "Container-Optimized OS from Google", "runtime": "containerd://1.7.24", "storage": "standard-rwo", "driver": "pd.csi.storage.gke.io",
    "namespaces": ["gmp-system", "gmp-public", "gke-managed-system", "gke-managed-cim"],
    "node conditions": [(kind, "False", reason, "all is well") for kind, reason in (("KernelDeadlock", "KernelHasNoDeadlock"), ("ReadonlyFilesystem", "FilesystemIsNotReadOnly"), ("FrequentKubeletRestart", "NoFrequentKubeletRestart"), ("FrequentUnregisterNetDevice", "NoFrequentUnregisterNetDevice"), ("CorruptDockerOverlay2", "NoCorruptDockerOverlay2"))] + [("NetworkUnavailable", "False", "RouteCreated", "NodeController create implicit route")],
    "each namespace": [{"kind": "ResourceQuota", "name": "gke-resource-quotas", "spec": {"hard": {"pods": "1500", "services": "500", "count/jobs.batch": "5k", "count/ingresses.networking.k8s.io": "100"}}, "status": {"hard": {"pods": "1500", "services": "500"}, "used": {"pods": "12", "services": "4"}}}],
    "nodes": [{"name": f"gke-prod-default-pool-8a1c2f3d-{end}", "labels": {"cloud.google.com/gke-nodepool": "default-pool"}} for end in ("0xkq", "7h2m", "z9pd")]
    + [{"name": "gke-prod-spot-pool-1d3e-q8rt", "apart": True, "labels": {"cloud.google.com/gke-spot": "true"}, "taints": [{"key": "cloud.google.com/gke-spot", "value": "true", "effect": "NoSchedule"}]}],
    "workloads": [
        {"name": "kube-dns", "namespace": "kube-system", "replicas": 2, "labels": {"k8s-app": "kube-dns"}, "service": {"clusterIP": "172.20.0.10", "ports": [{"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53}, {"name": "dns-tcp", "port": 53, "targetPort": 53}]},
         "template": {"ports": [{"name": "dns-local", "containerPort": 10053, "protocol": "UDP"}], "containers": [{"name": "dnsmasq", "image": "gke.gcr.io/k8s-dns-dnsmasq-nanny:1.23", "ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}, {"name": "dns-tcp", "containerPort": 53}]}, {"name": "sidecar", "image": "gke.gcr.io/k8s-dns-sidecar:1.23"}]}},
        {"name": "kube-dns-autoscaler", "namespace": "kube-system"}, {"name": "konnectivity-agent", "namespace": "kube-system", "replicas": 3}, {"name": "event-exporter-gke", "namespace": "kube-system"},
        {"name": "l7-default-backend", "namespace": "kube-system", "port": 8080, "labels": {"k8s-app": "glbc", "name": "glbc"}, "service": False}, _web("metrics-server", "kube-system", 443, target=10250, labels={"k8s-app": "metrics-server"}),
        *({"name": one, "namespace": "kube-system", "kind": "DaemonSet", "template": {**_ANYWHERE}} for one in ("fluentbit-gke", "gke-metrics-agent", "pdcsi-node", "netd", "ip-masq-agent", "collector")),
        *({"name": one, "namespace": "kube-system", "kind": "DaemonSet", "on": [], "template": {"nodeSelector": {"cloud.google.com/gke-accelerator": "x"}}} for one in ("nvidia-gpu-device-plugin-small-cos", "tpu-device-plugin", "runsc-metric-server")),
        {"name": "pdcsi-node-windows", "namespace": "kube-system", "kind": "DaemonSet", "on": [], "template": _WINDOWS},
        {"name": "collector", "namespace": "gmp-system", "kind": "DaemonSet"}, _web("gmp-operator", "gmp-system", 443, target=10250), {"name": "rule-evaluator", "namespace": "gmp-system", "replicas": 0},
        {"name": "alertmanager", "namespace": "gmp-system", "kind": "StatefulSet", "replicas": 0, "port": 9093},
    ],
    "objects": [
        _class("standard-rwo", "pd.csi.storage.gke.io", default=True), _class("premium-rwo", "pd.csi.storage.gke.io"), _class("standard", "kubernetes.io/gce-pd"),
        {"kind": "Service", "name": "default-http-backend", "namespace": "kube-system", "spec": {"type": "NodePort", "clusterIP": "172.20.3.3", "selector": {"k8s-app": "glbc"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080, "nodePort": 31932}]}},
        {"kind": "ConfigMap", "name": "cluster-kubestore", "namespace": "kube-system", "data": {"a": "b"}}, {"kind": "ConfigMap", "name": "kube-dns", "namespace": "kube-system"}, _api("v1beta1.metrics.k8s.io", "kube-system", "metrics-server"),
        _crd("podmonitorings", "monitoring.googleapis.com", "PodMonitoring"), _crd("managedcertificates", "networking.gke.io", "ManagedCertificate"), _crd("servicenetworkendpointgroups", "networking.gke.io", "ServiceNetworkEndpointGroup", "v1beta1"), _crd("backendconfigs", "cloud.google.com", "BackendConfig"), _crd("volumesnapshotclasses", "snapshot.storage.k8s.io", "VolumeSnapshotClass", scope="Cluster"),
        _hook("Validating", "gmp-operator.gmp-system.monitoring.googleapis.com", "gmp-system", "gmp-operator", groups=["monitoring.googleapis.com"], policy="Fail"),
    ],
}  # fmt: skip

_AKS: Resource = {
    "version": "v1.30.7", "os": "Ubuntu 22.04.5 LTS", "runtime": "containerd://1.7.23-1", "storage": "managed-csi", "driver": "disk.csi.azure.com",
    "namespaces": ["gatekeeper-system", "calico-system", "ingress-nginx", "cert-manager", "keda"],
    "node conditions": [(kind, "False", reason, "") for kind, reason in (("KernelDeadlock", "KernelHasNoDeadlock"), ("VMEventScheduled", "NoVMEventScheduled"), ("ContainerRuntimeProblem", "ContainerRuntimeIsUp"), ("FilesystemCorruptionProblem", "FilesystemIsOK"), ("KubeletProblem", "KubeletIsUp"))],
    "nodes": [{"name": f"aks-nodepool1-31415926-vmss00000{end}", "labels": {"kubernetes.azure.com/mode": "system", "agentpool": "nodepool1"}} for end in "012"]
    + [{"name": "virtual-node-aci-linux", "apart": True, "labels": {"type": "virtual-kubelet"}, "taints": [{"key": "virtual-kubelet.io/provider", "value": "azure", "effect": "NoSchedule"}], "version": "v1.25.0-vk-azure-aci-1.6.2"},
       {"name": "akswin000000", "apart": True, "os": "windows"}],
    "workloads": [
        *_DNS, *_METRICS, *_NGINX, *_CERT_MANAGER,
        *({"name": one, "namespace": "kube-system", "kind": "DaemonSet", "template": {**_ANYWHERE, **_LINUX}} for one in ("azure-cns", "azure-ip-masq-agent", "cloud-node-manager", "csi-azuredisk-node", "csi-azurefile-node", "kube-proxy", "ama-logs")),
        *({"name": one, "namespace": "kube-system", "kind": "DaemonSet", "on": ["akswin000000"], "template": {"tolerations": [{"operator": "Exists"}], **_WINDOWS}} for one in ("cloud-node-manager-windows", "csi-azuredisk-node-win", "ama-logs-windows")),
        {"name": "coredns-autoscaler", "namespace": "kube-system"}, {"name": "konnectivity-agent", "namespace": "kube-system", "replicas": 2}, {"name": "ama-logs-rs", "namespace": "kube-system"},
        _web("gatekeeper-webhook-service", "gatekeeper-system", 443, target=8443, replicas=2), {"name": "calico-typha", "namespace": "calico-system", "port": 5473, "replicas": 2}, {"name": "calico-node", "namespace": "calico-system", "kind": "DaemonSet", "template": {**_ANYWHERE}},
        {"name": "keda-operator", "namespace": "keda", "port": 9666}, _web("keda-operator-metrics-apiserver", "keda", 443, target=6443), _web("keda-admission-webhooks", "keda", 443, target=9443),
    ],
    "objects": [
        *_DNS_OBJECTS, *_NGINX_OBJECTS, *_CERT_OBJECTS, _class("managed-csi", "disk.csi.azure.com", default=True), _class("azurefile", "file.csi.azure.com"), _api("v1beta1.metrics.k8s.io", "kube-system", "metrics-server"), _api("v1beta1.external.metrics.k8s.io", "keda", "keda-operator-metrics-apiserver", "external.metrics.k8s.io"),
        _crd("scaledobjects", "keda.sh", "ScaledObject", "v1alpha1"), _crd("constrainttemplates", "templates.gatekeeper.sh", "ConstraintTemplate", "v1", "Cluster"), _crd("triggerauthentications", "keda.sh", "TriggerAuthentication", "v1alpha1"),
        _hook("Validating", "gatekeeper-validating-webhook-configuration", "gatekeeper-system", "gatekeeper-webhook-service", policy="Ignore", groups=["*"]), _hook("Validating", "keda-admission", "keda", "keda-admission-webhooks", groups=["keda.sh"], policy="Ignore"),
        {"kind": "ConfigMap", "name": "coredns-custom", "namespace": "kube-system", "data": {}}, {"kind": "ConfigMap", "name": "coredns-autoscaler", "namespace": "kube-system", "data": {"ladder": "{}"}},
    ],
}  # fmt: skip


def _static(name: str, node: str) -> Resource:
    return {"kind": "Pod", "name": f"{name}-{node}", "namespace": "kube-system", "of": f"Node/{node}", "metadata": {"labels": {"component": name, "tier": "control-plane"}, "annotations": {"kubernetes.io/config.mirror": "ab12", "kubernetes.io/config.source": "file", "kubernetes.io/config.hash": "ab12"}},
            "spec": {"nodeName": node, "hostNetwork": True, "priorityClassName": "system-node-critical", "tolerations": [{"operator": "Exists", "effect": "NoExecute"}], "containers": [{"name": name, "image": f"registry.k8s.io/{name}:v1.32.1", "command": [name], "livenessProbe": {"httpGet": {"path": "/livez", "port": 10259, "host": "127.0.0.1", "scheme": "HTTPS"}}}]},
            "status": {"phase": "Running", "podIP": "10.0.0.17", "startTime": "2026-01-02T00:00:00Z", "conditions": [{"type": one, "status": "True"} for one in ("Initialized", "Ready", "ContainersReady", "PodScheduled")],
                       "containerStatuses": [{"name": name, "ready": True, "started": True, "restartCount": 11, "image": f"registry.k8s.io/{name}:v1.32.1", "imageID": "", "state": {"running": {"startedAt": "2026-02-20T00:00:00Z"}}, "lastState": {"terminated": {"exitCode": 255, "reason": "Error", "finishedAt": "2026-02-20T00:00:00Z", "startedAt": "2026-02-01T00:00:00Z"}}}]}}  # fmt: skip


_KUBEADM: Resource = {
    "version": "v1.32.1", "os": "Rocky Linux 9.5", "runtime": "cri-o://1.32.1", "storage": "longhorn", "driver": "driver.longhorn.io",
    "namespaces": ["calico-system", "tigera-operator", "metallb-system", "longhorn-system", "argocd", "ingress-nginx", "monitoring"],
    "node conditions": [("NetworkUnavailable", "False", "CalicoIsUp", "Calico is running on this node")],
    "nodes": [{"name": f"cp{number}", "apart": True, "labels": {"node-role.kubernetes.io/control-plane": "", "node.kubernetes.io/exclude-from-external-load-balancers": ""}, "taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]} for number in (1, 2, 3)]
    + [{"name": f"worker{number}"} for number in (1, 2, 3, 4)],
    "workloads": [
        *_DNS, *_METRICS, *_NGINX,
        *({"name": one, "namespace": space, "kind": "DaemonSet", "on": [*(f"cp{number}" for number in (1, 2, 3)), *(f"worker{number}" for number in (1, 2, 3, 4))], "template": {**_ANYWHERE}} for one, space in (("kube-proxy", "kube-system"), ("calico-node", "calico-system"), ("csi-node-driver", "calico-system"))),
        {"name": "calico-kube-controllers", "namespace": "calico-system"}, {"name": "calico-typha", "namespace": "calico-system", "replicas": 2, "port": 5473}, {"name": "tigera-operator", "namespace": "tigera-operator", "template": {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}},
        _web("metallb-webhook-service", "metallb-system", 443, target=9443), {"name": "speaker", "namespace": "metallb-system", "kind": "DaemonSet", "template": {"env": [{"name": "METALLB_ML_BIND_ADDR", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}},
        {"name": "longhorn-manager", "namespace": "longhorn-system", "kind": "DaemonSet", "port": 9500}, {"name": "longhorn-driver-deployer", "namespace": "longhorn-system", "template": {"initContainers": [{"name": "wait-longhorn-manager", "image": "longhornio/longhorn-manager:v1.8.0", "command": ["sh", "-c", "while [ $(curl -m 1 -s -o /dev/null -w '%{http_code}' http://longhorn-manager:9500/v1) != '200' ]; do echo waiting; sleep 2; done"]}]}}, {"name": "csi-provisioner", "namespace": "longhorn-system", "replicas": 3},
        {"name": "argocd-server", "namespace": "argocd", "port": 8080, "service": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "https", "port": 443, "targetPort": 8080}]}}, {"name": "argocd-repo-server", "namespace": "argocd", "port": 8081}, {"name": "argocd-application-controller", "namespace": "argocd", "kind": "StatefulSet", "spec": {"serviceName": "argocd-application-controller"}}, {"name": "argocd-redis", "namespace": "argocd", "port": 6379}, {"name": "argocd-dex-server", "namespace": "argocd", "port": 5556},
        {"name": "prometheus-k8s", "namespace": "monitoring", "kind": "StatefulSet", "replicas": 2, "port": 9090, "labels": {"app.kubernetes.io/name": "prometheus", "prometheus": "k8s"}, "spec": {"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "50Gi"}}}}]}},
        {"name": "node-exporter", "namespace": "monitoring", "kind": "DaemonSet", "port": 9100, "service": {"clusterIP": "None", "ports": [{"name": "main", "port": 9100, "targetPort": 9100}]}, "template": {**_ANYWHERE}},
        {"name": "kube-state-metrics", "namespace": "monitoring", "port": 8080}, {"name": "prometheus-operator", "namespace": "monitoring", "port": 8080},
    ],
    "objects": [
        *_DNS_OBJECTS, *_NGINX_OBJECTS, _class("longhorn", "driver.longhorn.io", default=True), _api("v1beta1.metrics.k8s.io", "kube-system", "metrics-server"),
        *(_static(name, f"cp{number}") for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler") for number in (1, 2, 3)),
        *_role("argocd-application-controller", "argocd", "argocd-application-controller", ("*", "*", "*")), *_role("calico-node", "calico-system", "calico-node", ("crd.projectcalico.org", "felixconfigurations,ippools,globalnetworkpolicies", "get,list,watch,create,update")),
        *_role("metallb-system:speaker", "metallb-system", "speaker", ("metallb.io", "ipaddresspools,bgppeers", "get,list,watch"), ("metallb.io", "servicel2statuses/status", "*")), *_role("prometheus-operator", "monitoring", "prometheus-operator", ("monitoring.coreos.com", "prometheuses,prometheuses/status,servicemonitors,prometheusrules", "*")),
        *_role("longhorn", "longhorn-system", "longhorn-manager", ("longhorn.io", "volumes,volumes/status", "*")), *_role("tigera-operator", "tigera-operator", "tigera-operator", ("operator.tigera.io", "*", "*")),
        {"kind": "ConfigMap", "name": "kubeadm-config", "namespace": "kube-system", "data": {"ClusterConfiguration": "kind: ClusterConfiguration\n"}}, {"kind": "ConfigMap", "name": "cluster-info", "namespace": "kube-public", "data": {"kubeconfig": "a: b\n"}},
        {"kind": "Secret", "name": "bootstrap-token-abcdef", "namespace": "kube-system", "type": "bootstrap.kubernetes.io/token", "data": {"token-id": "YWJjZGVm"}},
        {"kind": "Service", "name": "kubelet", "namespace": "kube-system", "metadata": {"labels": {"app.kubernetes.io/managed-by": "prometheus-operator"}}, "spec": {"type": "ClusterIP", "clusterIP": "None", "ports": [{"name": "https-metrics", "port": 10250, "targetPort": 10250}, {"name": "cadvisor", "port": 4194, "targetPort": 4194}]}},
        {"kind": "Service", "name": "kube-scheduler", "namespace": "kube-system", "spec": {"type": "ClusterIP", "clusterIP": "None", "selector": {"component": "kube-scheduler"}, "ports": [{"name": "https", "port": 10259, "targetPort": 10259}]}},
        _crd("applications", "argoproj.io", "Application", "v1alpha1"), _crd("appprojects", "argoproj.io", "AppProject", "v1alpha1", plain=True), _crd("ipaddresspools", "metallb.io", "IPAddressPool", "v1beta1"), _crd("felixconfigurations", "crd.projectcalico.org", "FelixConfiguration", scope="Cluster", plain=True), _crd("tigerastatuses", "operator.tigera.io", "TigeraStatus", scope="Cluster"), _crd("volumes", "longhorn.io", "Volume", "v1beta2"),
        _crd("servicemonitors", "monitoring.coreos.com", "ServiceMonitor"), _crd("prometheuses", "monitoring.coreos.com", "Prometheus"), _crd("prometheusrules", "monitoring.coreos.com", "PrometheusRule"),
        {"kind": "Prometheus", "apiVersion": "monitoring.coreos.com/v1", "name": "k8s", "namespace": "monitoring", "spec": {"replicas": 2, "serviceMonitorSelector": {}, "serviceMonitorNamespaceSelector": {}, "podMonitorSelector": {}, "ruleSelector": {}, "ruleNamespaceSelector": {}}, "status": {"conditions": [{"type": "Available", "status": "True"}, {"type": "Reconciled", "status": "True"}]}},
        {"kind": "ServiceMonitor", "apiVersion": "monitoring.coreos.com/v1", "name": "node-exporter", "namespace": "monitoring", "spec": {"selector": {"matchLabels": {"app.kubernetes.io/name": "node-exporter"}}, "endpoints": [{"port": "main", "interval": "15s"}]}},
        {"kind": "IPAddressPool", "apiVersion": "metallb.io/v1beta1", "name": "lan", "namespace": "metallb-system", "spec": {"addresses": ["192.168.10.0/24"]}},
        {"kind": "FelixConfiguration", "apiVersion": "crd.projectcalico.org/v1", "name": "default", "spec": {"bpfEnabled": False}},
        {"kind": "TigeraStatus", "apiVersion": "operator.tigera.io/v1", "name": "calico", "spec": {}, "status": {"conditions": [{"type": "Available", "status": "True", "reason": "AllObjectsAvailable"}, {"type": "Progressing", "status": "False"}, {"type": "Degraded", "status": "False"}]}},
        {"kind": "Volume", "apiVersion": "longhorn.io/v1beta2", "name": "pvc-1", "namespace": "longhorn-system", "spec": {"size": "1"}, "status": {"state": "attached", "robustness": "healthy", "conditions": [{"type": "Scheduled", "status": "True"}, {"type": "TooManySnapshots", "status": "False"}, {"type": "Restore", "status": "False"}, {"type": "WaitForBackingImage", "status": "False"}]}},
        {"kind": "AppProject", "apiVersion": "argoproj.io/v1alpha1", "name": "default", "namespace": "argocd", "spec": {"destinations": [{"namespace": "*", "server": "*"}]}, "status": {}},
        {"kind": "Application", "apiVersion": "argoproj.io/v1alpha1", "name": "shop", "namespace": "argocd", "spec": {"project": "default", "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"}, "source": {"repoURL": "https://git.example.com/shop.git", "path": "deploy"}}, "status": {"sync": {"status": "Synced", "revision": "abc"}, "health": {"status": "Healthy"}, "conditions": [{"type": "SharedResourceWarning", "message": "ConfigMap/a is part of applications argocd/shop and old", "lastTransitionTime": "2026-01-01T00:00:00Z"}], "operationState": {"phase": "Succeeded", "message": "successfully synced (all tasks run)"}}},
    ],
}  # fmt: skip

_K3S: Resource = {
    "version": "v1.31.5+k3s1", "os": "K3s v1.31", "runtime": "containerd://1.7.23-k3s2", "storage": "local-path", "driver": "rancher.io/local-path", "namespaces": ["flux-system", "istio-system", "knative-serving"], "mesh": True,
    "nodes": [{"name": "k3s-server-0", "labels": {"node-role.kubernetes.io/control-plane": "true", "node-role.kubernetes.io/master": "true"}}, {"name": "k3s-agent-0"}, {"name": "k3s-agent-1"}],
    "workloads": [
        *_DNS, *_METRICS, {"name": "local-path-provisioner", "namespace": "kube-system"}, {"name": "traefik", "namespace": "kube-system", "port": 8000, "service": {"type": "LoadBalancer", "ports": [{"name": "web", "port": 80, "targetPort": 8000}]}},
        {"name": "svclb-traefik-0f1d2a3b", "namespace": "kube-system", "kind": "DaemonSet", "template": {"ports": [{"name": "lb-tcp-80", "containerPort": 80, "hostPort": 80}]}},
        *({"name": one, "namespace": "flux-system", "port": 8080, "service": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}} for one in ("source-controller", "kustomize-controller", "helm-controller", "notification-controller")),
        {"name": "istiod", "namespace": "istio-system", "port": 15012, "service": {"ports": [{"name": "grpc-xds", "port": 15010, "targetPort": 15010}, {"name": "https-dns", "port": 15012, "targetPort": 15012}, {"name": "https-webhook", "port": 443, "targetPort": 15017}, {"name": "http-monitoring", "port": 15014, "targetPort": 15014}]}, "template": {"ports": [{"name": "main", "containerPort": 15012}, {"name": "xds", "containerPort": 15010}, {"name": "webhook", "containerPort": 15017}, {"name": "monitoring", "containerPort": 15014}]}},
        {"name": "istio-ingressgateway", "namespace": "istio-system", "port": 8080, "service": {"type": "LoadBalancer", "ports": [{"name": "status-port", "port": 15021, "targetPort": 15021}, {"name": "http2", "port": 80, "targetPort": 8080}]}},
    ],
    "objects": [
        *_DNS_OBJECTS, _class("local-path", "rancher.io/local-path", default=True), _api("v1beta1.metrics.k8s.io", "kube-system", "metrics-server"),
        {"kind": "Job", "name": "helm-install-traefik", "namespace": "kube-system", "age": "50d", "spec": {"backoffLimit": 1000, "template": {"spec": {"restartPolicy": "OnFailure", "containers": [{"name": "helm", "image": "rancher/klipper-helm:v0.9.4"}]}}}, "status": {"succeeded": 1, "completionTime": "2026-01-10T00:00:00Z", "conditions": [{"type": "Complete", "status": "True"}]}},
        {"kind": "Pod", "name": "helm-install-traefik-x7k2p", "namespace": "kube-system", "of": "Job/helm-install-traefik", "age": "50d", "spec": {"nodeName": "k3s-server-0", "restartPolicy": "OnFailure", "containers": [{"name": "helm", "image": "rancher/klipper-helm:v0.9.4"}]}, "status": {"phase": "Succeeded", "conditions": [{"type": "Ready", "status": "False", "reason": "PodCompleted"}], "containerStatuses": [{"name": "helm", "ready": False, "restartCount": 2, "image": "rancher/klipper-helm:v0.9.4", "imageID": "", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}, "lastState": {}}]}},
        _crd("kustomizations", "kustomize.toolkit.fluxcd.io", "Kustomization"), _crd("gitrepositories", "source.toolkit.fluxcd.io", "GitRepository"), _crd("helmreleases", "helm.toolkit.fluxcd.io", "HelmRelease", "v2"), _crd("virtualservices", "networking.istio.io", "VirtualService"), _crd("destinationrules", "networking.istio.io", "DestinationRule"), _crd("helmcharts", "helm.cattle.io", "HelmChart"), _crd("addons", "k3s.cattle.io", "Addon", plain=True), _crd("envoyfilters", "networking.istio.io", "EnvoyFilter", "v1alpha3"),
        {"kind": "GitRepository", "apiVersion": "source.toolkit.fluxcd.io/v1", "name": "flux-system", "namespace": "flux-system", "spec": {"interval": "1m0s", "url": "ssh://git@git.example.com/fleet"}, "status": {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored artifact for revision 'main@sha1:af'", "observedGeneration": 1}, {"type": "ArtifactInStorage", "status": "True", "reason": "Succeeded"}]}},
        {"kind": "Kustomization", "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "name": "apps", "namespace": "flux-system", "metadata": {"finalizers": ["finalizers.fluxcd.io"]}, "spec": {"interval": "10m0s", "path": "./apps", "prune": True, "sourceRef": {"kind": "GitRepository", "name": "flux-system"}}, "status": {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True", "reason": "ReconciliationSucceeded"}, {"type": "Healthy", "status": "True"}]}},
        {"kind": "VirtualService", "apiVersion": "networking.istio.io/v1", "name": "edge", "namespace": "istio-system", "spec": {"hosts": ["shop.example.com"], "gateways": ["istio-system/edge"], "http": [{"route": [{"destination": {"host": "istio-ingressgateway"}}]}]}},
        {"kind": "DestinationRule", "apiVersion": "networking.istio.io/v1", "name": "api-server", "namespace": "istio-system", "spec": {"host": "kubernetes.default.svc.cluster.local", "trafficPolicy": {"tls": {"mode": "DISABLE"}}}},
        {"kind": "EnvoyFilter", "apiVersion": "networking.istio.io/v1alpha3", "name": "stats-filter", "namespace": "istio-system", "spec": {"configPatches": []}},
        {"kind": "HelmChart", "apiVersion": "helm.cattle.io/v1", "name": "traefik", "namespace": "kube-system", "spec": {"chart": "https://%{KUBERNETES_API}%/static/charts/traefik.tgz"}, "status": {"jobName": "helm-install-traefik", "conditions": [{"type": "JobCreated", "status": "True"}, {"type": "Failed", "status": "False"}]}},
        {"kind": "Addon", "apiVersion": "k3s.cattle.io/v1", "name": "ccm", "namespace": "kube-system", "spec": {"source": "/var/lib/rancher/k3s/server/manifests/ccm.yaml", "checksum": "ab"}, "status": {}},
        *_role("istiod-istio-system", "istio-system", "istiod", ("config.istio.io,security.istio.io,networking.istio.io", "*", "get,watch,list"), ("networking.istio.io", "workloadentries,workloadentries/status,serviceentries/status", "get,watch,list,update,patch")), *_role("flux", "flux-system", "kustomize-controller", ("source.toolkit.fluxcd.io,kustomize.toolkit.fluxcd.io", "*", "*")),
        _hook("Mutating", "istio-sidecar-injector", "istio-system", "istiod", groups=[""], resources=["pods"]), _hook("Validating", "istiod-default-validator", "istio-system", "istiod", groups=["networking.istio.io"]),
    ],
}  # fmt: skip

FLAVOURS: Mapping[str, Resource] = {"eks": _EKS, "gke": _GKE, "aks": _AKS, "kubeadm": _KUBEADM, "k3s": _K3S}
"""Clusters by their maker: Amazon's, Google's, Microsoft's, one's own with CRI-O and Calico, and a small one with a mesh and Flux."""
