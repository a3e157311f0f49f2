"""Scenarios as they are written: YAML with a first document that tells the fault and what is expected, and then manifests.

A file is read strictly: a word that nobody knows is an error with its place, never passed over. `$NS`, `$NODE`, `$REGISTRY`, `$FOLDER` and
`$NAME` stand for the namespace, the node, a registry that gives nothing, a folder of the node, and the scenario's name. Touches nothing but the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from fairlead.keep.kinds import BUILT_IN
from fairlead.keep.versions import STORED_AS

Manifest = dict[str, Any]

PATCHES: Final = {"merge": "merge", "json": "json", "strategic": "strategic"}
_STEPS: Final = {
    "patch": {"merge", "json", "strategic", "status", "apiVersion"},
    "apply": set[str](),
    "delete": {"apiVersion"},
    "scale": {"to"},
    "restart": set[str](),
    "pause": set[str](),
    "certificate": {"host", "days", "key"},
}
_SEEN: Final = frozenset(
    {"waiting", "terminated", "restarts", "condition", "event", "says", "phase", "endpoints", "path", "is", "gone", "apiVersion"}
)  # fmt: skip
_HEAD: Final = frozenset(
    {"title", "app", "before", "change", "shows", "expect", "alone", "ahead", "patience", "kernel", "about"}
)
_ROOT: Final = frozenset({"at", "rule", "symptoms", "evidence", "fix", "none", "effect"})


class BadScenario(ValueError):
    """A scenario that cannot be run as it is written; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Thing:
    """An object by its kind and name; the name may be a pattern (`api-*`) where something is looked for."""

    kind: str
    name: str
    namespace: str = ""

    @classmethod
    def read(cls, words: str) -> Thing:
        """Return what `Pod api-*` or `Service other/web` names."""
        kind, _, name = words.partition(" ")
        space, slash, last = name.rpartition("/")
        if not kind or not last:
            raise BadScenario(f"{words!r} is not a kind and a name")
        return cls(kind, last, space if slash else "")

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is done: a verb, to which object, and with what."""

    verb: str
    thing: Thing | None
    body: Any = None
    how: str = ""
    api_version: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """Something that can be seen of an object; every word of `seen` must hold of one and the same object."""

    thing: Thing
    seen: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.thing} {', '.join(f'{key}: {value}' for key, value in self.seen.items())}"


@dataclass(frozen=True, slots=True)
class Root:
    """A cause that is to be found: at which object, by which rule, what is to hang under it, and what helps.

    `fix` is a regular expression for the title of the fix that is to be proven and to help; "" where none can, and `none` says why.
    """

    at: Thing
    rule: str
    symptoms: tuple[Thing, ...] = ()
    evidence: tuple[str, ...] = ()
    fix: str = ""
    none: str = ""
    effect: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One failure. `alone` has the cluster to itself, for it touches what all share; `kernel` needs the sensor."""

    name: str
    title: str
    manifests: Sequence[Manifest]
    before: Sequence[Step]
    """What is done to the app while all is to be well."""
    change: Sequence[Step]
    shows: Sequence[Check]
    roots: Sequence[Root]
    alone: bool = False
    kernel: bool = False
    patience: float = 40.0
    ahead: float = 0.0
    """By how many seconds the diagnosis' clock runs ahead once the fault shows: for what is told only after minutes of waiting."""
    about: str = field(default="", compare=False)

    @property
    def fixable(self) -> bool:
        """Whether every root is expected to be fixed with proof."""
        return bool(self.roots) and all(root.fix for root in self.roots)


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for kind in BUILT_IN:
        if kind.stored and "list" in kind.verbs:
            group, version = STORED_AS.get(kind.storage, (kind.group, kind.version))
            found.setdefault(kind.kind, f"{group}/{version}" if group else version)
    return found


_VERSIONS: Final = _versions()
CLUSTER_WIDE: Final = frozenset(kind.kind for kind in BUILT_IN if not kind.namespaced)


def version_of(kind: str) -> str:
    """Return the apiVersion of a kind that Kubernetes has. Raises BadScenario for any other."""
    try:
        return _VERSIONS[kind]
    except KeyError:
        raise BadScenario(f"kind {kind} is not known: give its apiVersion") from None


# --- files


def names(folder: Path) -> list[str]:
    """Return the names of all scenarios: their paths below the folder without the ending, sorted."""
    return sorted(
        str(path.relative_to(folder).with_suffix(""))
        for path in folder.rglob("*.yaml")
        if path.parent.name != "apps"
    )


def space_of(name: str) -> str:
    """Return the namespace in which a scenario is run."""
    return f"drill-{name.rpartition('/')[2]}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a scenario meets: the name of the node, a registry that gives nothing, and a folder of the node for volumes."""

    node: str = "node"
    registry: str = "127.0.0.1:5000"
    folder: str = "/nowhere"


def read(folder: Path, name: str, around: Surroundings = Surroundings()) -> Scenario:
    """Return the scenario of a name. Raises BadScenario."""
    try:
        return _read(folder, name, around)
    except BadScenario as error:
        raise BadScenario(f"{name}: {error}") from None


def _read(folder: Path, name: str, around: Surroundings) -> Scenario:
    head, *manifests = _documents(folder / f"{name}.yaml", name, around)
    _only(head, _HEAD, "the first document")
    for word in ("title", "shows", "expect"):
        if not head.get(word):
            raise BadScenario(f"the first document says no {word}")
    app = head.get("app")
    parts = [*(_documents(folder / "apps" / f"{app}.yaml", name, around) if app else ()), *manifests]
    return Scenario(
        name=name,
        title=str(head["title"]),
        manifests=_placed(parts, space_of(name)),
        before=[_step(one, name) for one in head.get("before") or ()],
        change=[_step(one, name) for one in head.get("change") or ()],
        shows=[_check(one) for one in head["shows"]],
        roots=[_root(one) for one in head["expect"]],
        alone=head.get("alone") is True,
        kernel=head.get("kernel") is True,
        patience=float(head.get("patience", 40.0)),
        ahead=float(head.get("ahead", 0.0)),
        about=str(head.get("about", "")),
    )


def _documents(path: Path, name: str, around: Surroundings) -> list[Manifest]:
    try:
        content = path.read_text()
    except OSError as error:
        raise BadScenario(f"{path.name}: {error.strerror}") from error
    values = {
        "NS": space_of(name),
        "NODE": around.node,
        "NAME": name.rpartition("/")[2],
        "FOLDER": around.folder,
        "REGISTRY": around.registry,
    }
    content = re.sub(r"\$(NS|NODE|NAME|REGISTRY|FOLDER)\b", lambda match: values[match[1]], content)
    try:
        found = [one for one in yaml.safe_load_all(content) if one is not None]
    except yaml.YAMLError as error:
        raise BadScenario(f"{path.name}: {error}") from error
    if not found or not all(isinstance(one, dict) for one in found):
        raise BadScenario(f"{path.name}: not mappings")
    return found


def _placed(manifests: Iterable[Manifest], space: str) -> list[Manifest]:
    """Return the manifests in the namespace, a later one of the same name instead of an earlier."""
    placed: dict[tuple[str, str, str], Manifest] = {}
    for one in manifests:
        for word in ("apiVersion", "kind", "metadata"):
            if word not in one:
                raise BadScenario(f"a manifest has no {word}: {str(one)[:80]}")
        kind, meta = one["kind"], one["metadata"]
        if kind not in CLUSTER_WIDE and not _of_cluster(one):
            meta.setdefault("namespace", space)
        placed[kind, meta.get("namespace", ""), meta["name"]] = one
    return list(placed.values())


def _of_cluster(manifest: Manifest) -> bool:
    return bool(manifest["metadata"].get("namespace") == "")


def _only(what: Any, known: Iterable[str], where: str) -> None:
    if not isinstance(what, dict):
        raise BadScenario(f"{where} is no mapping: {what!r}")
    if strange := sorted(set(what) - set(known)):
        raise BadScenario(f"{where} has words that nobody knows: {', '.join(strange)}")


def _step(step: Any, name: str) -> Step:
    verb = next((word for word in _STEPS if isinstance(step, dict) and word in step), "")
    if not verb:
        raise BadScenario(f"a change is one of {', '.join(_STEPS)}: {step!r}")
    _only(step, {verb, *_STEPS[verb]}, f"a change ({verb})")
    target = step[verb]
    if verb == "pause":
        return Step(verb, None, float(target))
    if verb == "certificate":
        return Step(
            verb,
            Thing("Secret", target),
            {"host": step["host"], "days": step["days"], "key": step.get("key")},
        )
    if verb == "apply":
        return Step(verb, None, _placed(target if isinstance(target, list) else [target], space_of(name)))
    thing = Thing.read(target)
    api_version = step.get("apiVersion") or version_of(thing.kind)
    if verb == "scale":
        return Step(verb, thing, int(step["to"]), api_version=api_version)
    if verb != "patch":
        return Step(verb, thing, api_version=api_version)
    ways = [way for way in (*PATCHES, "status") if way in step]
    if len(ways) != 1:
        raise BadScenario(f"a patch is one of {', '.join(PATCHES)} and status: {step!r}")
    return Step(verb, thing, step[ways[0]], ways[0], api_version)


def _check(check: Any) -> Check:
    _only(check, {"of", *_SEEN}, "what shows")
    if "of" not in check:
        raise BadScenario(f"what shows is of no object: {check!r}")
    thing = Thing.read(check["of"])
    if "apiVersion" not in check:
        version_of(thing.kind)
    return Check(thing, {key: value for key, value in check.items() if key != "of"})


def _root(root: Any) -> Root:
    _only(root, _ROOT, "what is expected")
    for word in ("at", "rule"):
        if not root.get(word):
            raise BadScenario(f"what is expected says no {word}: {root!r}")
    if bool(root.get("fix")) == bool(root.get("none")):
        raise BadScenario(f"either a fix, or none and why: {root!r}")
    for pattern in (root.get("fix") or "", *(root.get("evidence") or ())):
        re.compile(pattern)
    return Root(
        at=Thing.read(root["at"]),
        rule=root["rule"],
        symptoms=tuple(Thing.read(one) for one in root.get("symptoms") or ()),
        evidence=tuple(root.get("evidence") or ()),
        fix=root.get("fix") or "",
        none=root.get("none") or "",
        effect=tuple(_check(one) for one in root.get("effect") or ()),
    )
