"""Applications that are often used to try things out, in outline: their services, ports, addresses of each other, storage and settings.

Data alone, for estates.py, written from what these applications are known to be made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Resource = dict[str, Any]


def _env(**values: str) -> list[Resource]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _grpc(port: int) -> Resource:
    probe = {
        "grpc": {"port": port, "service": ""},
        "periodSeconds": 10,
        "timeoutSeconds": 1,
        "failureThreshold": 3,
        "successThreshold": 1,
    }
    return {"readinessProbe": probe, "livenessProbe": probe}


def _http(port: int | str, path: str = "/health") -> Resource:
    probe = {
        "httpGet": {"path": path, "port": port, "scheme": "HTTP"},
        "periodSeconds": 10,
        "timeoutSeconds": 1,
        "failureThreshold": 3,
        "successThreshold": 1,
    }
    return {"readinessProbe": probe, "livenessProbe": {**probe, "initialDelaySeconds": 10}}


def _data(size: str = "8Gi") -> Resource:
    return {
        "volumeClaimTemplates": [
            {
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
            }
        ]
    }


_BOUTIQUE: Resource = {
    "workloads": [
        {"name": "frontend", "port": 8080, "replicas": 2, "image": "us-central1-docker.pkg.dev/google-samples/microservices-demo/frontend:v0.10.2", "service": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
         "template": {"env": _env(PORT="8080", PRODUCT_CATALOG_SERVICE_ADDR="productcatalogservice:3550", CURRENCY_SERVICE_ADDR="currencyservice:7000", CART_SERVICE_ADDR="cartservice:7070", RECOMMENDATION_SERVICE_ADDR="recommendationservice:8080", CHECKOUT_SERVICE_ADDR="checkoutservice:5050", AD_SERVICE_ADDR="adservice:9555"), **_http(8080, "/_healthz")}},
        *({"name": name, "port": port, "image": f"us-central1-docker.pkg.dev/google-samples/microservices-demo/{name}:v0.10.2", "template": {"env": _env(PORT=str(port)), **_grpc(port)}} for name, port in (("productcatalogservice", 3550), ("currencyservice", 7000), ("adservice", 9555), ("shippingservice", 50051), ("paymentservice", 50052), ("emailservice", 5000))),
        {"name": "cartservice", "port": 7070, "image": "us-central1-docker.pkg.dev/google-samples/microservices-demo/cartservice:v0.10.2", "template": {"env": _env(REDIS_ADDR="redis-cart:6379"), **_grpc(7070)}},
        {"name": "recommendationservice", "port": 8080, "template": {"env": _env(PORT="8080", PRODUCT_CATALOG_SERVICE_ADDR="productcatalogservice:3550"), **_grpc(8080)}},
        {"name": "checkoutservice", "port": 5050, "template": {"env": _env(PORT="5050", PRODUCT_CATALOG_SERVICE_ADDR="productcatalogservice:3550", SHIPPING_SERVICE_ADDR="shippingservice:50051", PAYMENT_SERVICE_ADDR="paymentservice:50052", EMAIL_SERVICE_ADDR="emailservice:5000", CURRENCY_SERVICE_ADDR="currencyservice:7000", CART_SERVICE_ADDR="cartservice:7070"), **_grpc(5050)}},
        {"name": "redis-cart", "port": 6379, "image": "redis:alpine", "template": {"readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 5}, "livenessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 5}, "volumes": [{"name": "redis-data", "emptyDir": {}}]}},
        {"name": "loadgenerator", "template": {"env": _env(FRONTEND_ADDR="frontend:80", USERS="10"), "initContainers": [{"name": "frontend-check", "image": "busybox:1.36", "command": ["/bin/sh", "-exc", "until wget -qO- http://$FRONTEND_ADDR; do sleep 2; done"], "env": _env(FRONTEND_ADDR="frontend:80")}]}},
    ],
    "objects": [
        {"kind": "Service", "name": "frontend-external", "spec": {"type": "LoadBalancer", "selector": {"app.kubernetes.io/name": "frontend"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080, "nodePort": 30712}]}, "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.20"}]}}},
        {"kind": "HorizontalPodAutoscaler", "name": "frontend", "spec": {"minReplicas": 2, "maxReplicas": 8, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend"}, "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}]},
         "status": {"currentReplicas": 2, "desiredReplicas": 2, "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 21, "averageValue": "11m"}}}], "conditions": [{"type": "AbleToScale", "status": "True", "reason": "ReadyForNewScale"}, {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"}, {"type": "ScalingLimited", "status": "True", "reason": "TooFewReplicas", "message": "the desired replica count is less than the minimum replica count"}]}},
        {"kind": "PodDisruptionBudget", "name": "frontend", "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app.kubernetes.io/name": "frontend"}}}, "status": {"currentHealthy": 2, "desiredHealthy": 1, "disruptionsAllowed": 1, "expectedPods": 2, "observedGeneration": 1, "conditions": [{"type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods"}]}},
    ],
}  # fmt: skip

_OTEL: Resource = {
    "workloads": [
        {"name": "frontend-proxy", "port": 8080, "template": {"env": _env(FRONTEND_HOST="frontend", FRONTEND_PORT="8080", GRAFANA_HOST="grafana", GRAFANA_PORT="80", JAEGER_HOST="jaeger", JAEGER_UI_PORT="16686", LOCUST_WEB_HOST="load-generator", LOCUST_WEB_PORT="8089", FLAGD_HOST="flagd", FLAGD_PORT="8013")}},
        {"name": "frontend", "port": 8080, "template": {"env": _env(FRONTEND_PORT="8080", AD_ADDR="ad:8080", CART_ADDR="cart:8080", CHECKOUT_ADDR="checkout:8080", CURRENCY_ADDR="currency:8080", PRODUCT_CATALOG_ADDR="product-catalog:8080", RECOMMENDATION_ADDR="recommendation:8080", SHIPPING_ADDR="http://shipping:8080", FLAGD_HOST="flagd", FLAGD_PORT="8013", OTEL_COLLECTOR_NAME="otel-collector", OTEL_EXPORTER_OTLP_ENDPOINT="http://otel-collector:4317")}},
        *({"name": name, "port": 8080, "template": {"env": _env(OTEL_SERVICE_NAME=name, FLAGD_HOST="flagd", FLAGD_PORT="8013", OTEL_EXPORTER_OTLP_ENDPOINT="http://otel-collector:4317"), "resources": {"limits": {"memory": "160Mi"}, "requests": {"memory": "160Mi"}}}} for name in ("ad", "currency", "email", "image-provider", "payment", "product-catalog", "quote", "recommendation")),
        {"name": "shipping", "port": 8080, "template": {"env": _env(QUOTE_ADDR="http://quote:8080", OTEL_EXPORTER_OTLP_ENDPOINT="http://otel-collector:4317")}},
        {"name": "cart", "port": 8080, "template": {"env": _env(VALKEY_ADDR="valkey-cart:6379", FLAGD_HOST="flagd", FLAGD_PORT="8013"), "initContainers": [{"name": "wait-for-valkey-cart", "image": "busybox:latest", "command": ["sh", "-c", "until nc -z -v -w30 valkey-cart 6379; do echo waiting for valkey-cart; sleep 2; done;"]}]}},
        {"name": "checkout", "port": 8080, "template": {"env": _env(CART_ADDR="cart:8080", CURRENCY_ADDR="currency:8080", EMAIL_ADDR="http://email:8080", PAYMENT_ADDR="payment:8080", PRODUCT_CATALOG_ADDR="product-catalog:8080", SHIPPING_ADDR="http://shipping:8080", KAFKA_ADDR="kafka:9092"), "initContainers": [{"name": "wait-for-kafka", "image": "busybox:latest", "command": ["sh", "-c", "until nc -z -v -w30 kafka 9092; do echo waiting for kafka; sleep 2; done;"]}]}},
        *({"name": name, "template": {"env": _env(KAFKA_ADDR="kafka:9092"), "initContainers": [{"name": "wait-for-kafka", "image": "busybox:latest", "command": ["sh", "-c", "until nc -z -v -w30 kafka 9092; do echo waiting for kafka; sleep 2; done;"]}]}} for name in ("accounting", "fraud-detection")),
        {"name": "kafka", "port": 9092, "service": {"ports": [{"name": "plaintext", "port": 9092, "targetPort": 9092}, {"name": "controller", "port": 9093, "targetPort": 9093}]}, "template": {"ports": [{"name": "main", "containerPort": 9092}, {"name": "controller", "containerPort": 9093}], "env": _env(KAFKA_ADVERTISED_LISTENERS="PLAINTEXT://kafka:9092", KAFKA_CONTROLLER_QUORUM_VOTERS="1@kafka:9093")}},
        {"name": "valkey-cart", "port": 6379, "image": "valkey/valkey:8.1"},
        {"name": "postgresql", "port": 5432, "template": {"env": [{"name": "POSTGRES_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "postgresql", "key": "password"}}}], "volumes": [{"name": "init", "configMap": {"name": "postgresql-init"}}]}},
        {"name": "flagd", "port": 8013, "template": {"args": ["start", "--port", "8013", "--ofrep-port", "8016", "--uri", "file:./etc/flagd/demo.flagd.json"], "volumes": [{"name": "config-rw", "emptyDir": {}}, {"name": "config-ro", "configMap": {"name": "flagd-config"}}]}},
        {"name": "load-generator", "port": 8089, "template": {"env": _env(LOCUST_HOST="http://frontend-proxy:8080", FLAGD_HOST="flagd", FLAGD_OFREP_PORT="8016")}},
        {"name": "otel-collector", "port": 4317, "service": {"ports": [{"name": "otlp", "port": 4317, "targetPort": 4317}, {"name": "otlp-http", "port": 4318, "targetPort": 4318}]}, "template": {"ports": [{"name": "otlp", "containerPort": 4317}, {"name": "otlp-http", "containerPort": 4318}]}},
        {"name": "grafana", "port": 3000, "service": {"ports": [{"name": "service", "port": 80, "targetPort": 3000}]}}, {"name": "jaeger", "port": 16686, "service": {"clusterIP": "None"}}, {"name": "opensearch", "kind": "StatefulSet", "port": 9200, "spec": _data()},
    ],
    "objects": [
        {"kind": "ConfigMap", "name": "flagd-config", "data": {"demo.flagd.json": '{"flags": {}}'}}, {"kind": "ConfigMap", "name": "postgresql-init", "data": {"init.sql": "create table a();"}}, {"kind": "Secret", "name": "postgresql", "type": "Opaque", "data": {"password": "b3RlbC1kZW1vLXBhc3N3b3Jk"}},
    ],
}  # fmt: skip

_HOTEL: Resource = {
    "workloads": [
        {"name": "consul", "port": 8500, "labels": {"io.kompose.service": "consul"}, "service": {"ports": [{"name": "8500", "port": 8500, "targetPort": 8500}, {"name": "8600", "port": 8600, "targetPort": 8600, "protocol": "UDP"}]}},
        {"name": "frontend", "port": 5000, "labels": {"io.kompose.service": "frontend"}, "template": {"command": ["frontend"], "env": _env(DLOG="true")}},
        *({"name": name, "port": port, "labels": {"io.kompose.service": name}, "image": "deathstarbench/hotel-reservation:latest", "template": {"command": [name], "env": _env(JAEGER_SAMPLE_RATIO="1")}} for name, port in (("geo", 8083), ("profile", 8081), ("rate", 8084), ("recommendation", 8085), ("reservation", 8087), ("search", 8082), ("user", 8086))),
        *({"name": f"mongodb-{name}", "port": 27017, "labels": {"io.kompose.service": f"mongodb-{name}"}, "image": "mongo:4.4.6", "template": {"args": ["--auth"] if name in {"geo", "rate"} else [], "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": f"{name}-pvc"}}, *([{"name": "failure-script", "configMap": {"name": f"failure-admin-{name}"}}] if name in {"geo", "rate"} else [])]}} for name in ("geo", "profile", "rate", "recommendation", "reservation", "user")),
        *({"name": f"memcached-{name}", "port": 11211, "labels": {"io.kompose.service": f"memcached-{name}"}, "image": "memcached:1.6.7"} for name in ("profile", "rate", "reserve")),
        {"name": "jaeger", "port": 6831, "labels": {"io.kompose.service": "jaeger"}, "service": {"ports": [{"name": "udp", "port": 6831, "targetPort": 6831, "protocol": "UDP"}]}, "template": {"ports": [{"name": "udp", "containerPort": 6831, "protocol": "UDP"}]}},
    ],
    "objects": [
        *({"kind": "ConfigMap", "name": f"failure-admin-{name}", "data": {"revoke.sh": "#!/bin/bash\n"}} for name in ("geo", "rate")),
        *({"kind": "PersistentVolumeClaim", "name": f"{name}-pvc", "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": f"{name}-storage", "volumeName": f"{name}-pv", "resources": {"requests": {"storage": "1Gi"}}}, "status": {"phase": "Bound"}} for name in ("geo", "profile", "rate", "recommendation", "reservation", "user")),
        *({"kind": "PersistentVolume", "name": f"{name}-pv", "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": f"{name}-storage", "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": f"/data/{name}"}, "claimRef": {"kind": "PersistentVolumeClaim", "namespace": "hotel", "name": f"{name}-pvc"}}, "status": {"phase": "Bound"}} for name in ("geo", "profile", "rate", "recommendation", "reservation", "user")),
    ],
}  # fmt: skip

_SOCIAL: Resource = {
    "workloads": [
        *({"name": name, "port": 9090, "labels": {"service": name}, "image": "deathstarbench/social-network-microservices:latest", "service": {"ports": [{"name": "9090", "port": 9090, "targetPort": 9090}]}, "template": {"command": [f"{name}"], "volumes": [{"name": f"{name}-config", "configMap": {"name": name}}], "volumeMounts": [{"name": f"{name}-config", "mountPath": "/social-network-microservices/config/jaeger-config.yml", "subPath": "jaeger-config.yml"}]}} for name in ("compose-post-service", "home-timeline-service", "media-service", "post-storage-service", "social-graph-service", "text-service", "url-shorten-service", "user-mention-service", "user-service", "user-timeline-service")),
        *({"name": f"{name}-mongodb", "port": 27017, "labels": {"service": f"{name}-mongodb"}, "image": "mongo:4.4.6", "template": {"command": ["mongod"], "args": ["--config", "/social-network-microservices/config/mongod.conf"], "volumes": [{"name": "conf", "configMap": {"name": f"{name}-mongodb"}}]}} for name in ("media", "post-storage", "social-graph", "url-shorten", "user", "user-timeline")),
        *({"name": name, "port": 6379, "labels": {"service": name}, "image": "redis:6.2.4"} for name in ("home-timeline-redis", "social-graph-redis", "user-timeline-redis")),
        {"name": "nginx-thrift", "port": 8080, "labels": {"service": "nginx-thrift"}}, {"name": "jaeger", "port": 16686, "labels": {"service": "jaeger"}},
    ],
    "objects": [
        *({"kind": "ConfigMap", "name": name, "data": {"service-config.json": "{}", "jaeger-config.yml": "disabled: false\n"}} for name in ("compose-post-service", "home-timeline-service", "media-service", "post-storage-service", "social-graph-service", "text-service", "url-shorten-service", "user-mention-service", "user-service", "user-timeline-service")),
        *({"kind": "ConfigMap", "name": f"{name}-mongodb", "data": {"mongod.conf": "net:\n  tls:\n    mode: disabled\n"}} for name in ("media", "post-storage", "social-graph", "url-shorten", "user", "user-timeline")),
    ],
}  # fmt: skip

_SOCK: Resource = {
    "workloads": [
        *({"name": name, "port": 80, "labels": {"name": name}, "image": f"weaveworksdemos/{name}:0.4.8", "template": {"env": _env(JAVA_OPTS="-Xms64m -Xmx128m"), **_http(80)}} for name in ("carts", "orders", "shipping", "queue-master")),
        *({"name": name, "port": 80, "labels": {"name": name}, "image": f"weaveworksdemos/{name}:0.4.3", "template": _http(80)} for name in ("payment", "user")),
        {"name": "front-end", "port": 8079, "labels": {"name": "front-end"}, "service": {"type": "NodePort", "ports": [{"name": "http", "port": 80, "targetPort": 8079, "nodePort": 30001}]}, "template": {"env": _env(SESSION_REDIS="true"), **_http(8079, "/")}},
        {"name": "catalogue", "port": 80, "labels": {"name": "catalogue"}, "template": {"command": ["/app"], "args": ["-port=80", "-DSN=catalogue_user:default_password@tcp(catalogue-db:3306)/socksdb"]}},
        *({"name": name, "port": 27017, "labels": {"name": name}, "image": "mongo:5"} for name in ("carts-db", "orders-db", "user-db")), {"name": "catalogue-db", "port": 3306, "labels": {"name": "catalogue-db"}, "template": {"env": [{"name": "MYSQL_ROOT_PASSWORD", "value": "fake_password"}, {"name": "MYSQL_DATABASE", "value": "socksdb"}]}},
        {"name": "rabbitmq", "port": 5672, "labels": {"name": "rabbitmq"}}, {"name": "session-db", "port": 6379, "labels": {"name": "session-db"}},
    ],
}  # fmt: skip

_TRAIN: Resource = {
    "workloads": [
        *({"name": f"ts-{name}-service", "port": port, "labels": {"app": f"ts-{name}-service"}, "image": f"codewisdom/ts-{name}-service:1.0.0", "template": {"env": [{"name": "NODE_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}], "envFrom": [{"secretRef": {"name": f"ts-{name}-mysql", "optional": True}}, {"configMapRef": {"name": "nacos"}}, {"configMapRef": {"name": "rabbitmq", "optional": True}}], "readinessProbe": {"tcpSocket": {"port": port}, "initialDelaySeconds": 60, "periodSeconds": 10, "timeoutSeconds": 5}}} for name, port in (("auth", 12340), ("basic", 15680), ("order", 12031), ("travel", 12346), ("station", 12345), ("user", 12342), ("payment", 19001), ("route", 11178))),
        {"name": "nacos", "kind": "StatefulSet", "replicas": 3, "port": 8848, "spec": {**_data(), "serviceName": "nacos-headless", "podManagementPolicy": "Parallel"}}, {"name": "rabbitmq", "port": 5672}, {"name": "ts-ui-dashboard", "port": 8080, "service": {"type": "NodePort", "ports": [{"name": "http", "port": 8080, "targetPort": 8080, "nodePort": 32677}]}},
        {"name": "tsdb-mysql", "kind": "StatefulSet", "replicas": 3, "port": 3306, "spec": {**_data(), "podManagementPolicy": "OrderedReady"}, "template": {"containers": [{"name": "xenon", "image": "radondb/xenon:1.1.5-helm", "livenessProbe": {"exec": {"command": ["pgrep", "xenon"]}}}]}},
    ],
    "objects": [
        {"kind": "ConfigMap", "name": "nacos", "data": {"NACOS_ADDRS": "nacos-0.nacos-headless.train.svc.cluster.local,nacos-1.nacos-headless.train.svc.cluster.local,nacos-2.nacos-headless.train.svc.cluster.local"}},
        {"kind": "Service", "name": "nacos-headless", "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {"app.kubernetes.io/name": "nacos"}, "ports": [{"name": "server", "port": 8848, "targetPort": 8848}, {"name": "rpc", "port": 9848, "targetPort": 9848}]}},
    ],
}  # fmt: skip

APPS: Mapping[str, Resource] = {
    "boutique": _BOUTIQUE,
    "otel": _OTEL,
    "hotel": _HOTEL,
    "social": _SOCIAL,
    "socks": _SOCK,
    "train": _TRAIN,
}
"""By a short name: `workloads` (see Estate.work) and `objects` (see Estate.add)."""
