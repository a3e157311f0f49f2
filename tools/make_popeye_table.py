"""Writes docs/popeye.md from the code's own tables: `python tools/make_popeye_table.py > docs/popeye.md`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from conformance.popeye import REASONS, rules_of

GROUPS: Mapping[str, Mapping[int, str]] = {
    "Containers": {
        100: "the image has no tag",
        101: "the image's tag is latest",
        102: "no probe at all",
        103: "no liveness probe",
        104: "no readiness probe",
        105: "a probe asks a port by its number",
        106: "neither requests nor limits",
        107: "no limits",
        108: "a port without a name",
        109: "CPU near what is requested",
        110: "memory near what is requested",
        111: "CPU near the limit",
        112: "memory near the limit",
        113: "the image is of a registry that is not allowed (`fairlead judge --registry`)",
    },
    "Pods": {
        200: "a container ended, without a reason",
        201: "a container ended, with a reason",
        202: "a container waits, without a reason",
        203: "a container waits, with a reason",
        204: "a container is not ready",
        205: "a container was restarted often",
        206: "no PodDisruptionBudget",
        207: "neither running nor done",
        208: "nothing controls the pod",
        209: "several PodDisruptionBudgets",
    },
    "Security": {
        300: "the default service account",
        301: "the account's token is mounted",
        302: "the pod may run as root",
        303: "an account hands out its token",
        304: "an account names a Secret that does not exist",
        305: "an account names a pull secret that does not exist",
        306: "a container may run as root",
        307: "the service account does not exist",
        308: "the default service account, with rights",
    },
    "All kinds": {
        400: "nothing refers to it",
        401: "nothing reads a key of it",
        402: "the cluster has no metrics",
        403: "an API version that is given up",
        404: "versions could not be compared",
        405: "a very old Kubernetes",
        406: "a Kubernetes that is not old",
        407: "a reference to what does not exist",
        666: "an error of Popeye's own",
    },
    "Workloads": {
        500: "scaled to zero",
        501: "fewer pods available than wanted",
        503: "uses more CPU than it asks for",
        504: "uses less CPU than it asks for",
        505: "uses more memory than it asks for",
        506: "uses less memory than it asks for",
        507: "the service account does not exist",
        508: "no pod has the selector's labels",
        1120: "a ReplicaSet with fewer ready pods than wanted",
    },
    "Autoscalers": {
        600: "the target does not exist",
        602: "at its most it needs more CPU than there is",
        603: "at its most it needs more memory than there is",
        604: "all together need more CPU than there is",
        605: "all together need more memory than there is",
    },
    "Nodes": {
        700: "a taint that no pod tolerates",
        701: "a condition is unknown",
        702: "not ready",
        703: "no disk space",
        704: "short of memory",
        705: "short of disk space",
        706: "short of process ids",
        707: "no network",
        708: "no metrics",
        709: "much CPU in use",
        710: "much memory in use",
        711: "cordoned",
        712: "the only control plane node",
    },
    "Namespaces and budgets": {
        800: "a namespace that is not active",
        900: "a budget that covers no pod",
        901: "a budget that asks for more pods than there are",
    },
    "Volumes": {
        1000: "a volume that nobody claims",
        1001: "a volume that is pending",
        1002: "a volume that failed",
        1003: "a claim that is pending",
        1004: "a claim that lost its volume",
    },
    "Services": {
        1100: "the selector matches no pod",
        1101: "the pods declare no ports",
        1102: "a target port by its number",
        1103: "type LoadBalancer",
        1104: "type NodePort",
        1105: "no endpoints",
        1106: "no container has the target port",
        1107: "LoadBalancer with external traffic policy Cluster",
        1108: "NodePort with external traffic policy Local",
        1109: "one endpoint only",
        1110: "endpoints without addresses",
    },
    "Network policies": {
        1200: "selects no pod",
        1201: "names namespaces that there are not",
        1202: "names pods that there are not",
        1203: "denies or allows everything",
        1204: "a pod that none protects in one direction",
        1205: "a pod that none protects",
        1206: "an address block without pods",
        1207: "an exception without pods",
        1208: "names pods that there are not, in a namespace",
    },
    "Rights": {1300: "a binding of a role or account that does not exist"},
    "Ingresses": {
        1400: "the load balancer reports an error",
        1401: "the Service does not exist",
        1402: "the Service has no such port",
        1403: "a port by its number",
        1404: "a backend without a port",
    },
    "Jobs": {
        1500: "suspended",
        1501: "no Job is active",
        1502: "has never succeeded",
        1503: "a warning was told of it",
    },
    "Cilium": {
        1600: "an identity without an endpoint",
        1601: "an identity whose namespace label cannot be checked",
        1602: "an identity of a namespace that does not exist",
        1603: "an identity without a namespace label",
        1604: "an identity whose labels differ about its namespace",
        1700: "a policy that selects no endpoint",
        1701: "a policy that selects no node",
        1702: "an endpoint of an unknown node",
        1703: "an endpoint of a pod that does not run",
        1704: "an endpoint of an unknown owner",
    },
}  # fmt: skip
"""What each code is about, in a few words, by the groups that Popeye has."""

HEAD = """\
# Popeye's codes

Made by `python tools/make_popeye_table.py` from the tables that the program itself reads; a test keeps both the same.

For each of Popeye's 117 codes, the rules that tell the same here. `practice.` rules are the judge's: what one object shows alone
(`fairlead judge --practices`). All others are the diagnosis's: what is broken is told always, what is merely untidy where advice is asked for
(`fairlead diagnose --advice`). `python tools/rates.py popeye --misses` says how many of the pairs of object and code that Popeye's own tests expect are
found, and why the others are not.
"""

CILIUM = "Cilium's own kinds are not looked at; what their conditions say of themselves is."


def main() -> None:
    """Print the page."""
    print(HEAD)
    for title, codes in GROUPS.items():
        print(f"## {title}\n\n| code | what it is about | rules here |\n| --- | --- | --- |")
        for code, about in codes.items():
            rules = ", ".join(f"`{rule}`" for rule in sorted(rules_of(code)))
            reason = REASONS.get(code, CILIUM if title == "Cilium" else "")
            print(f"| {code} | {about} | {rules or f'none: {reason}'} |")
        print()


if __name__ == "__main__":
    main()
