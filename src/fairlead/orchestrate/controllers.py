"""The table of all controllers, each under the name that logs and reports use.

Adding one means adding a module and a line here.
"""

from __future__ import annotations

from fairlead.orchestrate import (
    accounts,
    daemonsets,
    deployments,
    endpoints,
    namespaces,
    nodes,
    replicasets,
    scheduling,
    slices,
    statefulsets,
    volumes,
)
from fairlead.orchestrate.steps import Controller

CONTROLLERS: tuple[Controller, ...] = (
    deployments.DEPLOYMENTS,
    replicasets.REPLICA_SETS,
    replicasets.REPLICATION_CONTROLLERS,
    statefulsets.STATEFUL_SETS,
    daemonsets.DAEMON_SETS,
    endpoints.ENDPOINTS,
    slices.ENDPOINT_SLICES,
    accounts.SERVICE_ACCOUNTS,
    namespaces.NAMESPACES,
    nodes.NODES,
    nodes.EVICTIONS,
    volumes.CLAIMS,
    volumes.VOLUMES,
    scheduling.SCHEDULER,
)
