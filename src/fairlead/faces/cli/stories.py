"""Findings and fixes told to a person: the cause first, why it is believed, what follows from it, and the way out.

Colours only where they are wanted; every line fits the width given. Decides nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fairlead.diagnose.hiding import visible
from fairlead.faces.cli.answers import meaning
from fairlead.faces.cli.pens import Pen
from fairlead.words import Evidence, Finding, Ref, Severity, Symptom

if TYPE_CHECKING:
    from fairlead.faces.cli.answers import Answer
    from fairlead.reactor.examine import Examined
    from fairlead.reactor.heal import Healing
    from fairlead.reactor.trial import Step, Trial

_MARKS = {Severity.CRITICAL: ("✖", "31;1"), Severity.WARNING: ("▲", "33;1"), Severity.INFO: ("·", "36")}
_PARTICULAR = re.compile(r"\S*[\d/:@]\S*")
"""Words with digits or separators in them: names, numbers and places, which differ where the matter does not."""
_NAMED = 2
_EVIDENCE = 4
_SORTS = 6
"""Groups of symptoms that are told of one root."""
_NOTES = 3
"""More notes of one rule than these are told together."""
_ADVISED = 4
_SURENESS = {
    "likely": "likely: everything that was seen fits, but the objects alone do not prove it.",
    "possible": "possible: worth a look; nothing proves it.",
}


_OWN = re.compile(r"(\x1b\[(?:[012]|3[0-6](?:;1)?)m)")
"""The codes that a Pen writes: nothing else may move, hide or name anything on a terminal."""
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def tame(text: str) -> str:
    """Return a text for a terminal: what names, messages and logs hold may not steer it, nor turn the direction of writing."""
    if not _ODD.search(text):
        return text
    parts = _OWN.split(text)
    return "".join(
        part if index % 2 else _ODD.sub("\N{REPLACEMENT CHARACTER}", part) for index, part in enumerate(parts)
    )


def finding(
    one: Finding,
    pen: Pen,
    *,
    command: str = "fairlead fix {}",
    whole: bool = False,
    notes: Sequence[str] = (),
) -> list[str]:
    """Return the story of one root; `command` is how to get its fix (`{}` stands for its id), "" where there is nothing to fix.

    `notes` are said below the place, such as since when it is there. `whole` tells every piece of evidence and every symptom.
    """
    mark, code = _MARKS[one.severity]
    unsure = "" if one.confidence == "certain" else f" ({one.confidence})"
    head = pen.wrap(f"{mark} {one.subject}  {one.message}{unsure}", "", hang="  ")
    first = f"{mark} {one.subject}"
    head[0] = pen.paint(first, code) + head[0][len(first) :] if head[0].startswith(first) else head[0]
    lines = [*head]
    lines += pen.wrap(one.cause, "    ")
    if str(one.where):
        lines += pen.wrap(str(one.where), "    ", "2")
    for note in notes:
        lines += pen.wrap(note, "    ", "2")
    lines += _facts(one, pen, whole=whole)
    lines += _symptoms(one.symptoms, pen, whole=whole)
    for fix in one.fixes if whole else one.fixes[:1]:
        hint = pen.paint("   " + command.replace("{}", one.id), "1") if command else ""
        whose = f" (the {fix.origin}'s)" if fix.origin else ""
        lines.append("    " + pen.paint(f"fix{whose}: {fix.title}", "32") + hint)
    if not (one.fixes and command):
        lines.append(pen.paint(f"    {one.id}", "2"))
    return lines


def _facts(one: Finding, pen: Pen, *, whole: bool) -> Iterator[str]:
    said = one.cause
    told = [
        item
        for item in one.evidence
        if item.text.rstrip(".") not in said
        and not (
            item.kind == "field"
            and item.where.path
            and item.subject == one.subject
            and one.where.path.startswith(item.where.path)
        )
    ]
    most = len(told) if whole else _EVIDENCE
    for item in told[:most]:
        yield from pen.wrap(_fact(item, one.subject), "    │ ", "2", hang="    │   ")
    if len(told) > most:
        yield pen.paint(f"    │ and {len(told) - most} more", "2")


def _fact(item: Evidence, subject: Ref) -> str:
    whose = "" if item.subject == subject else f"{item.subject.kind} {item.subject.name}: "
    place = str(item.where) if item.where.file else item.where.path
    return f"{whose}{item.text}" + (f"   {place}" if place and item.kind in {"field", "absence"} else "")


def _symptoms(symptoms: Sequence[Symptom], pen: Pen, *, whole: bool) -> Iterator[str]:
    """Yield the symptoms; many of one kind that say the same, but for names and numbers, are told once."""
    alike = folded(symptoms)
    if whole:
        alike = [[one] for them in alike for one in them]
    most = len(alike) if whole or len(alike) <= _SORTS + 1 else _SORTS
    for index, them in enumerate(alike[:most]):
        names = ", ".join(one.subject.name for one in them[:_NAMED])
        more = f" + {len(them) - _NAMED} more" if len(them) > _NAMED else ""
        lead = "    so: " if index == 0 else "        "
        yield from pen.wrap(f"{them[0].subject.kind} {names}{more}  {said(them)}", lead, hang="          ")
    left = sum(len(them) for them in alike[most:])
    if left:
        kinds = Counter(one.subject.kind for them in alike[most:] for one in them)
        yield from pen.wrap(
            f"and {left} more: {', '.join(f'{count} {kind}' for kind, count in kinds.most_common())}",
            "        ",
            "2",
            hang="          ",
        )


def folded(symptoms: Sequence[Symptom]) -> list[list[Symptom]]:
    """Return symptoms in groups of one kind that say the same, but for names and numbers."""
    alike: dict[tuple[str, str], list[Symptom]] = {}
    for one in symptoms:
        alike.setdefault((one.subject.kind, _PARTICULAR.sub("…", one.message)), []).append(one)
    return list(alike.values())


def said(alike: Sequence[Symptom]) -> str:
    """Return what symptoms of one group say: their message, or its shape where they differ in names and numbers."""
    first = alike[0].message
    return first if all(one.message == first for one in alike) else _PARTICULAR.sub("…", first)


def chain(one: Finding, pen: Pen) -> list[str]:
    """Return how a root spreads, as a tree: what each symptom directly follows from stands above it."""
    effects: dict[Ref, list[Symptom]] = {}
    known = {symptom.subject for symptom in one.symptoms}
    for symptom in one.symptoms:
        above = symptom.after if symptom.after in known and symptom.after != symptom.subject else None
        effects.setdefault(above or one.subject, []).append(symptom)
    lines = [visible(str(one.subject))]
    seen = {one.subject}

    def grow(ref: Ref, indent: str) -> None:
        groups = [
            them
            for group in folded(effects.get(ref, ()))
            if (them := [each for each in group if each.subject not in seen])
        ]
        for index, them in enumerate(groups):
            seen.update(each.subject for each in them)
            last = index == len(groups) - 1
            names = ", ".join(each.subject.name for each in them[:_NAMED])
            more = f" + {len(them) - _NAMED} more" if len(them) > _NAMED else ""
            stem = f"{indent}{'└' if last else '├'}─ "
            lines.extend(
                pen.wrap(
                    f"{them[0].subject.kind} {names}{more}  {said(them)}",
                    stem,
                    hang=f"{indent}{' ' if last else '│'}     ",
                )
            )
            for each in them:
                grow(each.subject, f"{indent}{' ' if last else '│'}  ")

    grow(one.subject, "")
    return lines


def explained(one: Finding, pen: Pen, words: str = "") -> list[str]:
    """Return what a finding means, how it spreads and why its fix helps; `words` are somebody else's about it, or ""."""
    narrow = Pen(pen.colour, pen.width - 6)
    lines: list[str] = []
    told = meaning(one.rule)
    if words:
        for part in words.splitlines():
            lines += pen.wrap(part, "    ┃ ")
    if told:
        lines += pen.wrap(f"{one.rule}: {told}", "    means: ", hang="           ")
    if one.confidence != "certain":
        lines += pen.wrap(_SURENESS[one.confidence], "    sure?  ", hang="           ")
    if one.symptoms:
        tree = chain(one, narrow)
        lines += ["    chain: " + tree[0], *("           " + line for line in tree[1:])]
    for fix in one.fixes[:1]:
        why = [*dict.fromkeys(change.why for change in fix.changes if change.why and change.why != fix.title)]
        told = " ".join([f"{fix.title}.", *(f"{text.rstrip('.')}." for text in why), fix.risk]).strip()
        lines += pen.wrap(told, "    fix:   ", hang="           ")
    return lines


def diagnosis(answer: Answer, pen: Pen) -> list[str]:
    """Return the whole answer: every root, and a line that sums up."""
    command = _command(answer)
    lines: list[str] = []
    counts = Counter(one.rule for one in answer.told if one.severity == Severity.INFO)
    grouped = [
        one
        for one in answer.told
        if one.severity == Severity.INFO and (answer.advice or counts[one.rule] > _NOTES)
    ]
    if answer.whole:
        grouped = []
    apart = {id(one) for one in grouped}
    for one in answer.told:
        if id(one) not in apart:
            lines += finding(one, pen, command=command, whole=answer.whole, notes=tuple(_notes(one, answer)))
            if answer.explain:
                lines += explained(one, pen, answer.explanations.get(one.id, ""))
            lines.append("")
    lines += _advice(grouped, pen)
    for note in answer.notes:
        lines += pen.wrap(note, "", "33", hang="  ")
    lines += _unseen(answer.examined, pen)
    return [*lines, summary(answer, pen)]


def _command(answer: Answer) -> str:
    """Return how to get a fix for what was looked at, with `{}` for the finding's id."""
    if answer.seen.source == "cluster":
        return "fairlead fix {}"
    names = answer.seen.named
    return f"fairlead fix {{}} -f {' -f '.join(names)}" if len(names) == 1 and names[0] != "-" else ""


def _notes(one: Finding, answer: Answer) -> Iterator[str]:
    """Yield since when a finding is there, and what was decided about it."""
    from fairlead.diagnose.histories import told

    sighting = answer.histories.get(one.id)
    if sighting is not None and sighting.state == "active":
        yield told(sighting, answer.now)
    by = answer.suppression(one)
    if by is not None:
        until = f" until {by.until:%Y-%m-%d}" if by.until else ""
        yield f"ignored{until}: {by.reason}"
    for other, past in answer.returned:
        if other is one and past.until is not None:
            yield f"was ignored until {past.until:%Y-%m-%d}: {past.reason}"


def _advice(findings: Sequence[Finding], pen: Pen) -> list[str]:
    """Return notes by their rule, each with how many there are and whose they are."""
    rules: dict[str, list[Finding]] = {}
    for one in findings:
        rules.setdefault(one.rule, []).append(one)
    lines: list[str] = []
    mark, code = _MARKS[Severity.INFO]
    for rule, them in sorted(rules.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        lead = f"{mark} {rule} ({len(them)})" if len(them) > 1 else f"{mark} {rule}"
        text = meaning(rule) or them[0].message
        head = pen.wrap(f"{lead}  {text}", "", hang="    ")
        if head[0].startswith(lead):
            head[0] = pen.paint(lead, code) + head[0][len(lead) :]
        lines += head
        subjects = list(dict.fromkeys(str(one.subject) for one in them))
        more = f" + {len(subjects) - _ADVISED} more" if len(subjects) > _ADVISED else ""
        lines += pen.wrap(", ".join(subjects[:_ADVISED]) + more, "    ", "2")
    return [*lines, ""] if lines else []


def _unseen(examined: Examined, pen: Pen) -> list[str]:
    if not examined.unseen:
        return []
    kinds = ", ".join(sorted(kind for _, kind in examined.unseen))
    return [*pen.wrap(f"not looked at, because they could not be listed: {kinds}", "", "2"), ""]


def summary(answer: Answer, pen: Pen) -> str:
    """Return the line that sums up."""
    examined = answer.examined
    objects = len(examined.view)
    looked = f"{objects} {'object' if objects == 1 else 'objects'} in {answer.seconds:.1f} s"
    aside = f", {len(answer.hidden)} ignored" if answer.hidden else ""
    if answer.left_out:
        aside += f", {answer.left_out} not asked for"
    grave = answer.grave
    if not grave:
        notes = len(answer.shown)
        aside = (f", {notes} {'note' if notes == 1 else 'notes'}" if notes else "") + aside
        if answer.left_out:
            sure = "nothing of what was asked for is wrong"
        elif examined.scope == "live":
            sure = "nothing is wrong" if not answer.hidden else "nothing else is wrong"
        else:
            sure = "nothing is wrong that the files alone show"
        return pen.paint(f"✔ {sure}", "32;1") + f" ({looked}{aside})"
    symptoms = sum(len(one.symptoms) for one in grave)
    causes = "1 cause" if len(grave) == 1 else f"{len(grave)} causes"
    explain = ""
    if symptoms:
        verb = "explains" if len(grave) == 1 else "explain"
        explain = f" {verb} {symptoms} {'symptom' if symptoms == 1 else 'symptoms'}"
    return pen.paint(f"{causes}{explain}", "1") + f" ({looked}{aside})"


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
