"""What `fairlead diagnose` has to say, ready to be told in any format: what is shown, what is hidden and why, and since when.

Puts together what others have found and remembered; formats nothing and fetches nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from fairlead.diagnose.rules import RULES
from fairlead.diagnose.suppressing import Suppression, returned, suppressed
from fairlead.words import Change, Finding, Fix, Ref, Severity, Snapshot

if TYPE_CHECKING:
    from fairlead.diagnose.histories import Sighting
    from fairlead.faces.cli.choosing import Choice
    from fairlead.reactor.examine import Examined


Source: TypeAlias = Literal["cluster", "files", "preview", "snapshot"]


@dataclass(frozen=True, slots=True)
class Seen:
    """One look: what was found and when it was so, where, and the files that were read, by name; `preview` is files over a cluster.

    `named` are the files and folders as they were named, where nothing but files was looked at.
    """

    examined: Examined
    now: datetime
    source: Source
    texts: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    named: Sequence[str] = ()


@dataclass(slots=True)
class Answer:
    """One look, told. `shown` are the findings to tell; `hidden` those that a suppression hides, `returned` those whose time is over.

    `left_out` counts findings that were not asked for. `histories` and `explanations` are by a finding's id. `whole` is set where
    every piece of evidence and every symptom is wanted.
    """

    seen: Seen
    shown: list[Finding]
    seconds: float = 0.0
    hidden: list[tuple[Finding, Suppression]] = field(default_factory=list)
    returned: list[tuple[Finding, Suppression]] = field(default_factory=list)
    show_hidden: bool = False
    left_out: int = 0
    histories: Mapping[str, Sighting] = field(default_factory=dict)
    explanations: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    advice: bool = False
    explain: bool = False
    whole: bool = False

    @property
    def examined(self) -> Examined:
        """What was looked at."""
        return self.seen.examined

    @property
    def now(self) -> datetime:
        """When it was so."""
        return self.seen.now

    @property
    def grave(self) -> list[Finding]:
        """What is shown and more than a note."""
        return [one for one in self.shown if one.severity != Severity.INFO]

    @property
    def told(self) -> list[Finding]:
        """What is shown, and after it what is hidden where that is wanted."""
        return [*self.shown, *(one for one, _ in self.hidden)] if self.show_hidden else self.shown

    @property
    def code(self) -> int:
        """The exit code: 1 where something is wrong that is shown."""
        return 1 if self.grave else 0

    def suppression(self, finding: Finding) -> Suppression | None:
        """Return what hides the finding, or None."""
        return next((by for one, by in self.hidden if one is finding), None)


def answer(seen: Seen, choice: Choice, suppressions: Iterable[Suppression]) -> Answer:
    """Return what a look has to say to who asked for a part of it, without what is to be hidden."""
    holding, examined = list(suppressions), seen.examined
    asked = [one for one in examined.findings if choice.takes(one, examined.view)]
    shown, hidden = suppressed(asked, holding, seen.now)
    return Answer(
        seen,
        shown,
        hidden=hidden,
        returned=returned(shown, holding, seen.now),
        left_out=len(examined.findings) - len(asked),
    )


def meaning(rule: str) -> str:
    """Return what a rule means in one sentence, or what a practice asks for; "" for a rule of nobody's table."""
    if rule in RULES:
        return RULES[rule]
    family, _, name = rule.partition(".")
    if family != "practice":
        return ""
    from fairlead.judge.practices import NAMES

    return NAMES[name].title if name in NAMES else ""


def patched(view: Snapshot, change: Change) -> tuple[bool, dict[str, object] | None]:
    """Return whether the change can be tried on what is there, and the object after it (None where it is deleted)."""
    from fairlead.keep import patches
    from fairlead.keep.errors import Refusal
    from fairlead.tongues import jsonpatch

    ref = change.ref
    held = view.get(ref.group, ref.kind, ref.namespace, ref.name) or view.get(
        ref.group, ref.kind, "" if ref.namespace else "default", ref.name
    )
    if change.verb in {"create", "update"}:
        return isinstance(change.body, dict), change.body
    if change.verb == "delete":
        return held is not None, None
    if held is None or change.subresource:
        return False, None
    try:
        if change.patch == "json":
            import copy

            return True, jsonpatch.apply(copy.deepcopy(held), change.body)
        if change.patch == "merge":
            return True, patches.merge_patch(held, change.body)
    except (jsonpatch.Unpatchable, Refusal):
        return False, None
    return False, None


def diffs(view: Snapshot, fix: Fix) -> list[str]:
    """Return unified diffs of YAML of what a fix changes, one for each object, as far as it can be said without a cluster."""
    from fairlead.reactor.trial import diffs as told

    before, after = Snapshot(), Snapshot()
    refs: dict[Ref, None] = {}
    for change in fix.changes:
        ref = change.ref
        held = view.get(ref.group, ref.kind, ref.namespace, ref.name)
        known, new = patched(after if ref in refs else view, change)
        if not known:
            continue
        if ref not in refs and held is not None:
            before.put(held)
        refs[ref] = None
        if new is None:
            after.drop(ref)
        else:
            after.put(new)
    return told(before, after, [one for one in fix.changes if one.ref in refs])
