"""Kyverno's policies: ClusterPolicy and its kin in, the judge's rules out. Never raises over a document's content.

The older kinds (kyverno.io) speak JMESPath and patterns, the newer ones (policies.kyverno.io) CEL; exceptions are joined with the
policies that they name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fairlead.dialects.kyverno import celpolicies, fields, policies, statuses
from fairlead.dialects.kyverno.calls import GLOBAL_GROUP, GLOBAL_KIND
from fairlead.dialects.kyverno.cleaning import read_cleanup_policy
from fairlead.dialects.kyverno.exceptions import read_policy_exception
from fairlead.judge.policies import Assembled, Policy
from fairlead.judge.reading import Source, unsupported
from fairlead.words import Finding


def read_global_entry(source: Source) -> tuple[list[object], list[Finding]]:
    """Check a GlobalContextEntry: rules that refer to it find it in the view, so that there is no model of it."""
    page = source.page()
    fields.take(page, fields.GLOBAL_ENTRY)
    return [], unsupported(page, source)


READS: Mapping[tuple[str, str], Callable[[Source], tuple[Sequence[Any], list[Finding]]]] = {
    ("kyverno.io", "ClusterPolicy"): policies.read_policy,
    ("kyverno.io", "Policy"): policies.read_policy,
    ("kyverno.io", "PolicyException"): read_policy_exception,
    ("kyverno.io", "CleanupPolicy"): read_cleanup_policy,
    ("kyverno.io", "ClusterCleanupPolicy"): read_cleanup_policy,
    (GLOBAL_GROUP, GLOBAL_KIND): read_global_entry,
    **celpolicies.READS,
}
"""Readers by group and kind; `assemble` takes what they give."""

WRITES: Mapping[tuple[str, str], Callable[..., Any]] = statuses.WRITES
"""What writes the status of each kind. Results are written by the dialect `policyreport`, which all policies share."""


def assemble(models: Iterable[object]) -> Assembled:
    """Join all documents: policies with their exceptions, older and newer ones."""
    everything = list(models)
    made, wanted = policies.assemble(everything)
    parts = [celpolicies.assemble(everything)]
    cleanups = [one for one in everything if isinstance(one, Policy)]
    if cleanups:
        wanted |= {("*", "*")}
    return Assembled(
        (*made, *cleanups, *(policy for part in parts for policy in part.policies)),
        tuple(finding for part in parts for finding in part.findings),
        wanted.union(*(part.wanted for part in parts)),
    )
