"""The table of all controllers, each under the name that logs and reports use.

Adding one means adding a module and a line here.
"""

from __future__ import annotations

from fairlead.orchestrate import deployments, replicasets, scheduling, volumes
from fairlead.orchestrate.steps import Controller

CONTROLLERS: tuple[Controller, ...] = (
    deployments.DEPLOYMENTS,
    replicasets.REPLICA_SETS,
    replicasets.REPLICATION_CONTROLLERS,
    volumes.CLAIMS,
    volumes.VOLUMES,
    scheduling.SCHEDULER,
)
