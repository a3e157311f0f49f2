"""Typical expressions of Kubernetes policies: this engine against Google's own, in the same process.

Prints for each the microseconds an evaluation of Google's engine (with an activation that is made once), of this one, of this one
with a cost budget, and how many times faster it is. `python benchmarks/cel.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from cel_expr_python import cel as peer

from fairlead.tongues import cel

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web", "tier": "front"}},
    "spec": {
        "replicas": 3,
        "hostNetwork": False,
        "serviceAccountName": "web",
        "containers": [
            {
                "name": f"c{index}",
                "image": f"registry.example.com/team/app-{index}:1.{index}",
                "ports": [{"containerPort": 8080 + index}],
                "securityContext": {
                    "privileged": False,
                    "runAsNonRoot": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "resources": {"limits": {"memory": "128Mi", "cpu": "500m"}},
            }
            for index in range(3)
        ],
    },
}
EXPRESSIONS = {
    "a number": "object.spec.replicas <= 5",
    "a label": "has(object.metadata.labels) && 'app' in object.metadata.labels",
    "a prefix of each image": "object.spec.containers.all(c, c.image.startsWith('registry.example.com/'))",
    "no privileges": "object.spec.containers.all(c, !has(c.securityContext) || !has(c.securityContext.privileged) || c.securityContext.privileged == false)",
    "capabilities": "object.spec.containers.all(c, has(c.securityContext.capabilities) && c.securityContext.capabilities.drop.exists(d, d == 'ALL'))",
    "no latest tag": "!object.spec.containers.exists(c, c.image.endsWith(':latest') || !c.image.contains(':'))",
    "no host ports": "object.spec.containers.all(c, !has(c.ports) || c.ports.all(p, !has(p.hostPort) || p.hostPort == 0))",
    "one of some names": "object.metadata.namespace in ['shop', 'bank', 'news'] && object.kind == 'Pod'",
    "a message": "'pod ' + object.metadata.name + ' in ' + object.metadata.namespace + ' is refused'",
    "a choice": "object.spec.hostNetwork == true ? object.spec.containers.size() < 2 : object.spec.containers.size() < 10",
    "an absorbed error": "object.spec.nope == 1 || object.spec.replicas == 3",
    "a pattern": "object.metadata.name.matches('^[a-z]+-[0-9]+$')",
}


def best(call: Callable[[], Any], rounds: int = 7, repeat: int = 3000) -> float:
    """Return the least time of one call, in microseconds of process time."""
    found = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(repeat):
            call()
        found = min(found, (time.process_time() - start) / repeat)
    return found * 1e6


def main() -> None:
    theirs = peer.NewEnv(variables={"object": peer.Type.DYN})
    ours = cel.Environment(("object",), cel.kubernetes.LIBRARIES)
    activation = theirs.Activation({"object": POD})
    bindings = {"object": POD}
    print(f"{'':24}{'Google us':>10}{'ours us':>10}{'budget us':>10}{'times':>8}")
    product = 1.0
    for name, text in EXPRESSIONS.items():
        expression, program = theirs.compile(text), ours.compile(text)
        assert expression.eval(activation).plain_value() == program(bindings) == program(bindings, 10**6)
        slow = best(lambda expression=expression: expression.eval(activation))  # type: ignore[misc]
        fast = best(lambda program=program: program(bindings))  # type: ignore[misc]
        counted = best(lambda program=program: program(bindings, 10**6))  # type: ignore[misc]
        product *= slow / fast
        print(f"{name:24}{slow:10.2f}{fast:10.2f}{counted:10.2f}{slow / fast:8.1f}")
    print(f"{'geometric mean':54}{product ** (1 / len(EXPRESSIONS)):8.1f}")


if __name__ == "__main__":
    main()
