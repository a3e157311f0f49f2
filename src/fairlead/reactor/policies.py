"""Makes one Book of all policy documents, whatever format each is in.

Asks each dialect; holds no rules. A dialect whose documents cannot be used costs only its own policies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from fairlead.judge.policies import Book
from fairlead.judge.reading import Source
from fairlead.words import Finding

DIALECTS: Mapping[str, ModuleType] = {}
"""Each dialect of policies by name: a module with READS, WRITES and assemble(models) -> Assembled."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The Book, what is wrong with its documents, and which kinds its policies look at in the view."""

    book: Book
    findings: tuple[Finding, ...]
    wanted: frozenset[tuple[str, str]]


def dialect_of(group: str, kind: str) -> str:
    """Return the name of the dialect that reads the kind, or ""."""
    for name, module in DIALECTS.items():
        if (group, kind) in module.READS or (group, "*") in module.READS:
            return name
    return ""


def load(sources: Iterable[Source]) -> Loaded:
    """Read the documents and put their policies into one Book. Documents of no policy format are passed over."""
    models: dict[str, list[Any]] = {}
    findings: list[Finding] = []
    for source in sources:
        ref = source.ref
        name = dialect_of(ref.group, ref.kind)
        if name:
            reads = DIALECTS[name].READS
            reader = reads.get((ref.group, ref.kind)) or reads[ref.group, "*"]
            made, said = reader(source)
            models.setdefault(name, []).extend(made)
            findings += said
    assembled = [DIALECTS[name].assemble(made) for name, made in models.items()]
    return Loaded(
        Book(policy for one in assembled for policy in one.policies),
        (*findings, *(finding for one in assembled for finding in one.findings)),
        frozenset[tuple[str, str]]().union(*(one.wanted for one in assembled)),
    )
