"""What goes into a rendering and what comes out of it, whatever the package is written in.

A renderer of any format is a function `render(package, values, context, answers) -> Rendered`. It raises `Mistaken` for what the
author or the user of a package has to put right, and `Lacking` for what only the outside can tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from fairlead.words import Finding, Need, Resource, Where

Sort: TypeAlias = Literal["module", "timoni", "chart", "kustomization", "manifests"]
"""What a package is written in: a native module, a Timoni module, a Helm chart, a Kustomize tree, or plain manifests."""

Moment: TypeAlias = Literal["install", "upgrade", "rollback", "delete", "test"]
"""When a stage is applied."""


@dataclass(frozen=True, slots=True)
class Package:
    """The files of a package: bytes by relative path with forward slashes, never absolute and without `..`.

    `where` is what messages call it (a directory, or an address in a registry), and `target` the directory below which the package
    itself lies ("" for all of it; a Kustomize tree may refer to directories beside it).
    """

    files: Mapping[str, bytes]
    where: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Layer:
    """One source of values; later ones win. `name` is the file, or the option such as `--set`, that messages point at.

    `sort` says how `text` is to be read: a `file` (by its name: YAML, JSON, CUE), or what an option of that name takes.
    """

    name: str
    text: str
    sort: Literal["file", "set", "set-string", "set-json", "set-file", "set-literal"] = "file"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the cluster can do: its version (`v1.32.0`) and what it serves, as `group/version` and `group/version/Kind`."""

    version: str = "v1.32.0"
    serves: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Context:
    """Who asks for a rendering: the name and namespace of the instance, which revision it is, and what the cluster can do."""

    name: str
    namespace: str = "default"
    revision: int = 1
    moment: Moment = "install"
    capabilities: Capabilities = Capabilities()
    places: bool = False
    """Whether who asks wants to know where in the package each object was written (`Stage.places`)."""


@dataclass(frozen=True, slots=True)
class Check:
    """When an object counts as healthy, beyond what its kind says: CEL over the object, each true (`current`) or telling (others).

    With `path` empty the check is for each object of the kind; names are empty for "any".
    """

    api_version: str
    kind: str
    namespace: str = ""
    name: str = ""
    current: str = ""
    failed: str = ""
    in_progress: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """Objects that are applied together, and awaited before the next stage.

    `moments` says when; `cleanup` when the objects of a one-off stage (a hook) are deleted: `before` the next run of it, once it
    has `succeeded`, or once it has `failed`. A stage that is no one-off has none, and its objects belong to the inventory.
    """

    name: str
    objects: tuple[Resource, ...]
    checks: tuple[Check, ...] = ()
    moments: frozenset[Moment] = frozenset({"install", "upgrade", "rollback"})
    one_off: bool = False
    cleanup: frozenset[Literal["before", "succeeded", "failed"]] = frozenset()
    wait: bool = True
    places: tuple[Where, ...] = ()
    """Where each of the objects was written, in their order; empty where nobody asked, or the renderer does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """Stages in order, with what there is to say: findings (never errors), and the package's notes for people."""

    sort: Sort
    package: str = ""
    version: str = ""
    stages: tuple[Stage, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: str = ""
    images: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    """The values that were used, defaults included. May hold secrets: never print them unasked."""

    @property
    def objects(self) -> tuple[Resource, ...]:
        """The objects that an installation applies and keeps, stage by stage."""
        return tuple(
            item
            for stage in self.stages
            if not stage.one_off and "install" in stage.moments
            for item in stage.objects
        )


NOWHERE: Final = Where()


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong: what, where, and what would be right. `column` and `excerpt` (the line itself) where they are known."""

    message: str
    where: Where = NOWHERE
    column: int = 0
    excerpt: str = ""
    hint: str = ""
    trail: tuple[Where, ...] = ()
    """The calls that led there, outermost first."""

    def __str__(self) -> str:
        """The place, the message and the hint in one line."""
        column = f":{self.column}" if self.column and self.where.line else ""
        place = f"{self.where.file}:{self.where.line}{column}" if self.where.line else self.where.file
        head = " ".join(
            part
            for part in (
                f"{place}:" if place else "",
                self.where.path and f"{self.where.path}:",
                self.message,
            )
            if part
        )
        return f"{head}; {self.hint}" if self.hint else head


class Mistaken(Exception):
    """The package, or the values given to it, are wrong. Carries every mistake that was found, never none."""

    def __init__(self, *mistakes: Mistake) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = mistakes


class Lacking(Exception):
    """A rendering cannot go on before these Needs are answered; it is then begun again with the answers."""

    def __init__(self, *needs: Need) -> None:
        super().__init__(", ".join(f"{need.what} {need.about}".strip() for need in needs))
        self.needs = needs


Answers: TypeAlias = Mapping[Need, Any]
"""What was fetched, by the Need that asked for it."""

Values: TypeAlias = Sequence[Layer]
