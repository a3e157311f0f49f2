"""The policies of policies.kyverno.io, cluster-wide and namespaced, in CEL: reads them and joins them with their exceptions.

The face that the dialect takes in: READS, and `assemble` over what these readers gave.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from fairlead.dialects.kyverno.celpolicies_evaluating import CelPolicy
from fairlead.dialects.kyverno.celpolicies_exceptions import CelException, of_policy, read_exception
from fairlead.dialects.kyverno.celpolicies_generating import read_deleting, read_generating
from fairlead.dialects.kyverno.celpolicies_images import read_images
from fairlead.dialects.kyverno.celpolicies_mutating import read_mutating
from fairlead.dialects.kyverno.celpolicies_validating import read_validating
from fairlead.judge.policies import Assembled
from fairlead.judge.reading import Source, broken
from fairlead.words import Finding

GROUP = "policies.kyverno.io"

Model: TypeAlias = CelPolicy | CelException
Reader: TypeAlias = Callable[[Source], tuple[Sequence[Model], list[Finding]]]

_LOOKS = re.compile(r"\b(?:resource|globalContext|generator)\s*\.")

_KINDS: Mapping[str, Reader] = {
    "ValidatingPolicy": read_validating,
    "MutatingPolicy": read_mutating,
    "GeneratingPolicy": read_generating,
    "DeletingPolicy": read_deleting,
    "ImageValidatingPolicy": read_images,
}

READS: Mapping[tuple[str, str], Reader] = {
    **{(GROUP, kind): reader for kind, reader in _KINDS.items()},
    **{(GROUP, f"Namespaced{kind}"): reader for kind, reader in _KINDS.items()},
    (GROUP, "PolicyException"): read_exception,
}
"""Readers by group and kind. What they give are CelPolicy and CelException, both for `assemble`."""


def assemble(models: Iterable[object]) -> Assembled:
    """Join policies with the exceptions that name them; anything that other readers gave is passed over."""
    everything = list(models)
    policies = [one for one in everything if isinstance(one, CelPolicy)]
    exceptions = [one for one in everything if isinstance(one, CelException)]
    known = {(one.kind, one.name) for one in policies}
    findings = [
        broken(
            one.source, ".spec.policyRefs", f'{kind} "{name}" not found: the exception spares nothing of it'
        )
        for one in exceptions
        for kind, name in sorted(one.refs)
        if kind.endswith("Policy") and (kind, name) not in known
    ]
    made = tuple(one.make(of_policy(exceptions, one.kind, one.name)) for one in policies)
    wanted = frozenset[tuple[str, str]]().union(*(_wanted(one.source.content) for one in policies))
    return Assembled(made, tuple(findings), wanted)


def _wanted(value: Any) -> set[tuple[str, str]]:
    """Return the kinds that a document's expressions may look at in the cluster: all, where they look things up at all."""
    if isinstance(value, str):
        return {("*", "*")} if _LOOKS.search(value) else set()
    if isinstance(value, dict):
        found = {("", "Namespace")} if value.get("namespaceSelector") else set()
        if value.get("mutateExisting"):
            found.add(("*", "*"))
        return found.union(*map(_wanted, value.values()))
    return set().union(*map(_wanted, value)) if isinstance(value, list) else set()
