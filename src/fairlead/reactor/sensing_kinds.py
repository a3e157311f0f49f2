"""The kinds that the sensor reads and writes, for a cluster's first start and for `fairlead install`: a table, and nothing else.

Detection: what a rule found, on a pod or a node. FlightRecord: what a container's processes asked in vain before it died. TracingPolicy and
TracingPolicyNamespaced (cilium.io) are Tetragon's, with every field kept: what they say is their dialect's to understand.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.reactor.policing_kinds import Row, definition
from fairlead.words import Resource

GROUP = "fairlead.dev"
API_VERSION = "fairlead.dev/v1alpha1"
POLICIES = "cilium.io/v1alpha1"

_AGE = ("Age", "date", ".metadata.creationTimestamp")
_STATE = ("State", "string", ".status.state")

KINDS: Sequence[Row] = (
    Row(
        GROUP, "v1alpha1", "Detection", "detections", "det", True,
        (
            ("Rule", "string", ".rule"),
            ("Severity", "string", ".severity"),
            ("Subject", "string", ".subject.name"),
            ("Count", "integer", ".count"),
            ("Last", "date", ".lastSeen"),
            _AGE,
        ),
        "sense",
    ),
    Row(
        GROUP, "v1alpha1", "FlightRecord", "flightrecords", "flight", True,
        (
            ("Pod", "string", ".pod"),
            ("Container", "string", ".container"),
            ("Exit", "integer", ".deaths[0].exitCode"),
            ("Died", "date", ".deaths[0].time"),
            _AGE,
        ),
        "sense",
    ),
    Row("cilium.io", "v1alpha1", "TracingPolicy", "tracingpolicies", "", False, (_STATE, _AGE), "sense"),
    Row("cilium.io", "v1alpha1", "TracingPolicyNamespaced", "tracingpoliciesnamespaced", "", True, (_STATE, _AGE), "sense"),
)  # fmt: skip


def definitions() -> list[Resource]:
    """Return the CustomResourceDefinitions."""
    return [definition(row) for row in KINDS]
