"""The table of all controllers, each under the name that logs and reports use.

Adding one means adding a module and a line here.
"""

from __future__ import annotations

from fairlead.orchestrate import (
    accounts,
    aggregating,
    autoscalers,
    budgets,
    cronjobs,
    daemonsets,
    deployments,
    endpoints,
    ephemerals,
    jobs,
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
    jobs.JOBS,
    jobs.ORPHANS,
    cronjobs.CRON_JOBS,
    endpoints.ENDPOINTS,
    slices.ENDPOINT_SLICES,
    accounts.SERVICE_ACCOUNTS,
    aggregating.AGGREGATED_ROLES,
    namespaces.NAMESPACES,
    nodes.NODES,
    nodes.TAINTS,
    nodes.EVICTIONS,
    budgets.BUDGETS,
    autoscalers.AUTOSCALERS,
    ephemerals.EPHEMERALS,
    volumes.CLAIMS,
    volumes.VOLUMES,
    scheduling.SCHEDULER,
)


def controllers(certificate: str = "") -> tuple[Controller, ...]:
    """Return all controllers of a cluster; with its certificate authority (PEM), also the one that publishes it."""
    return (*CONTROLLERS, accounts.root_ca(certificate)) if certificate else CONTROLLERS
