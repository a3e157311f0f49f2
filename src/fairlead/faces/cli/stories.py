"""Findings and fixes told to a person: the cause first, why it is believed, what follows from it, and the way out.

Colours only where they are wanted; every line fits the width given. Decides nothing.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fairlead.words import Evidence, Finding, Ref, Severity, Symptom

if TYPE_CHECKING:
    from fairlead.reactor.examine import Examined
    from fairlead.reactor.heal import Healing
    from fairlead.reactor.trial import Step, Trial

_MARKS = {Severity.CRITICAL: ("✖", "31;1"), Severity.WARNING: ("▲", "33;1"), Severity.INFO: ("·", "36")}
_PARTICULAR = re.compile(r"\S*[\d/:@]\S*")
"""Words with digits or separators in them: names, numbers and places, which differ where the matter does not."""
_NAMED = 2
_EVIDENCE = 4


@dataclass(frozen=True, slots=True)
class Pen:
    """How to write: in colour or not, and how many columns there are."""

    colour: bool = False
    width: int = 100

    def paint(self, text: str, code: str) -> str:
        """Return the text in a colour (an SGR code), if colours are wanted."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and text and code else text

    def wrap(self, text: str, indent: str, code: str = "", *, hang: str | None = None) -> list[str]:
        """Return the text as lines that fit, each indented; `hang` indents those after the first."""
        lines = textwrap.wrap(
            text,
            max(40, self.width),
            initial_indent=indent,
            subsequent_indent=indent if hang is None else hang,
            break_long_words=False,
            break_on_hyphens=False,
        )
        return [self.paint(line, code) for line in lines]


def finding(one: Finding, pen: Pen, *, command: str = "fairlead fix") -> list[str]:
    """Return the story of one root; `command` is how to get its fix, "" where there is no cluster to fix."""
    mark, code = _MARKS[one.severity]
    unsure = "" if one.confidence == "certain" else f" ({one.confidence})"
    head = pen.wrap(f"{mark} {one.subject}  {one.message}{unsure}", "", hang="  ")
    first = f"{mark} {one.subject}"
    head[0] = pen.paint(first, code) + head[0][len(first) :] if head[0].startswith(first) else head[0]
    lines = [*head]
    lines += pen.wrap(one.cause, "    ")
    if str(one.where):
        lines += pen.wrap(str(one.where), "    ", "2")
    lines += _facts(one, pen)
    lines += _symptoms(one.symptoms, pen)
    for fix in one.fixes[:1]:
        hint = pen.paint(f"   {command} {one.id}", "1") if command else ""
        lines.append("    " + pen.paint(f"fix: {fix.title}", "32") + hint)
    return lines


def _facts(one: Finding, pen: Pen) -> Iterator[str]:
    said = one.cause
    told = [
        item
        for item in one.evidence
        if item.text.rstrip(".") not in said
        and not (
            item.where.path and item.subject == one.subject and one.where.path.startswith(item.where.path)
        )
    ]
    for item in told[:_EVIDENCE]:
        yield from pen.wrap(_fact(item, one.subject), "    │ ", "2", hang="    │   ")
    if len(told) > _EVIDENCE:
        yield pen.paint(f"    │ and {len(told) - _EVIDENCE} more", "2")


def _fact(item: Evidence, subject: Ref) -> str:
    whose = "" if item.subject == subject else f"{item.subject.kind} {item.subject.name}: "
    place = str(item.where) if item.where.file else item.where.path
    return f"{whose}{item.text}" + (f"   {place}" if place and item.kind in {"field", "absence"} else "")


def _symptoms(symptoms: Sequence[Symptom], pen: Pen) -> Iterator[str]:
    """Yield the symptoms; many of one kind that say the same, but for names and numbers, are told once."""
    alike: dict[tuple[str, str], list[Symptom]] = {}
    for one in symptoms:
        alike.setdefault((one.subject.kind, _PARTICULAR.sub("…", one.message)), []).append(one)
    for index, ((kind, shape), them) in enumerate(alike.items()):
        names = ", ".join(one.subject.name for one in them[:_NAMED])
        more = f" + {len(them) - _NAMED} more" if len(them) > _NAMED else ""
        message = them[0].message if len({one.message for one in them}) == 1 else shape
        lead = "    so: " if index == 0 else "        "
        yield from pen.wrap(f"{kind} {names}{more}  {message}", lead, hang="          ")


def diagnosis(examined: Examined, pen: Pen, seconds: float) -> list[str]:
    """Return the whole answer: every root, and a line that sums up."""
    lines: list[str] = []
    for one in examined.findings:
        lines += [*finding(one, pen, command="fairlead fix" if examined.scope == "live" else ""), ""]
    lines += _unseen(examined, pen)
    return [*lines, _sum(examined, pen, seconds)]


def _unseen(examined: Examined, pen: Pen) -> list[str]:
    if not examined.unseen:
        return []
    kinds = ", ".join(sorted(kind for _, kind in examined.unseen))
    return [*pen.wrap(f"not looked at, because they could not be listed: {kinds}", "", "2"), ""]


def _sum(examined: Examined, pen: Pen, seconds: float) -> str:
    looked = f"{len(examined.view)} objects in {seconds:.1f} s"
    grave = [one for one in examined.findings if one.severity != Severity.INFO]
    if not grave:
        notes = len(examined.findings)
        aside = f", {notes} {'note' if notes == 1 else 'notes'}" if notes else ""
        sure = (
            "nothing is wrong" if examined.scope == "live" else "nothing is wrong that the files alone show"
        )
        return pen.paint(f"✔ {sure}", "32;1") + f" ({looked}{aside})"
    symptoms = sum(len(one.symptoms) for one in grave)
    causes = "1 cause" if len(grave) == 1 else f"{len(grave)} causes"
    explain = ""
    if symptoms:
        verb = "explains" if len(grave) == 1 else "explain"
        explain = f" {verb} {symptoms} {'symptom' if symptoms == 1 else 'symptoms'}"
    return pen.paint(f"{causes}{explain}", "1") + f" ({looked})"


def diff(text: str, pen: Pen) -> list[str]:
    """Return a unified diff in colours."""
    colours = {"+": "32", "-": "31", "@": "36"}
    lines = []
    for line in text.splitlines():
        header = line.startswith(("+++", "---"))
        lines.append("    " + pen.paint(line, "1" if header else colours.get(line[:1], "")))
    return lines


def _step(one: Step, pen: Pen) -> list[str]:
    mark = pen.paint("✔", "32;1") if one.ok else pen.paint("✖", "31;1")
    detail = f": {one.detail}" if one.detail else ""
    first, *rest = pen.wrap(f"{one.name}{detail}", "", hang="      ") or [""]
    return [f"    {mark} {first}", *rest]


def trial(one: Trial, pen: Pen, *, applying: bool) -> list[str]:
    """Return the story of a trial."""
    lines = pen.wrap(f"{one.finding.subject}  {one.finding.message}", "", "1", hang="  ")
    lines += pen.wrap(one.finding.cause, "  ")
    lines += ["", "  " + pen.paint(one.fix.title, "32;1")]
    if one.fix.risk:
        lines += pen.wrap(f"risk: {one.fix.risk}", "  ", "33")
    for text in one.diffs:
        lines += ["", *diff(text, pen)]
    lines += ["", f"  tried on a copy of {one.objects} objects"]
    for step in one.steps:
        lines += _step(step, pen)
    if one.proven and one.unproven:
        lines.append("  what a copy cannot show")
        for said in one.unproven:
            lines += pen.wrap(said, "    ? ", "33", hang="      ")
    lines.append("")
    if not one.proven:
        lines.append(pen.paint("  not proven: this fix is not offered", "31;1"))
    elif not applying:
        lines.append(
            "  " + pen.paint("proven.", "32;1") + f" Carry it out: fairlead fix {one.finding.id} --apply"
        )
    return lines


def healing(one: Healing, pen: Pen, record: str) -> list[str]:
    """Return the story of what was done."""
    lines: list[str] = ["  carried out"]
    for step in one.steps:
        lines += _step(step, pen)
    code = "32;1" if one.outcome == "healthy" else "31;1"
    lines += ["", f"  {pen.paint(one.outcome, code)} after {one.seconds:.1f} s"]
    for left in one.left[:3] if one.outcome != "healthy" else ():
        lines += pen.wrap(f"still: {left.subject}  {left.message}", "    ", hang="      ")
    if record:
        lines.append(pen.paint(f"  what was done, and how to undo it: {record}", "2"))
    return lines
