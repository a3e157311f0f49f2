"""The grounds that a cluster gives: its policies and what they look up, as the reactor follows them.

ValidatingAdmissionPolicies and pod security labels are left to the API server, which judges by them itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from fairlead.drivers.cluster import AsyncCluster
from fairlead.reactor.following import ACCESS, Follower


class ClusterGrounds(Follower):
    """See the module, and Grounds."""

    def __init__(
        self, cluster: AsyncCluster, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        super().__init__(cluster, clock, users=True)


__all__ = ["ACCESS", "ClusterGrounds"]
