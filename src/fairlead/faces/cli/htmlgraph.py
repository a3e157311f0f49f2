"""A root and what follows from it, drawn: the root at the left, each symptom to the right of what it directly follows from.

One inline SVG without scripts, coloured by the page's own variables. Symptoms of one kind that say the same and follow from the same are one
box with their number, so that sixty are as readable as one. Text is escaped here; nothing is measured, widths are guessed generously.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fairlead.faces.cli.stories import folded, said
from fairlead.words import Finding, Ref, Symptom

WIDTH, HEIGHT = 216, 62
"""A box, in pixels."""
GAP_X, GAP_Y = 50, 14
_EDGE = 10
_MOST = 9
"""Boxes below one box at most; what is more is counted in one of them."""
_DEEPEST = 12
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def clean(text: str) -> str:
    """Return foreign text that cannot break out of a page: escaped, without control characters and changes of direction."""
    shown = "".join(
        "\N{REPLACEMENT CHARACTER}"
        if char in _BIDI or (unicodedata.category(char) in {"Cc", "Cs"} and char not in "\n\t")
        else char
        for char in text
    )
    return html.escape(shown, quote=True)


@dataclass(slots=True)
class Box:
    """One box: what is in it, what follows from it, and its place (its upper left corner) once it is laid out."""

    kind: str
    names: Sequence[str]
    message: str
    count: int = 1
    children: list[Box] = field(default_factory=list)
    x: float = 0.0
    y: float = 0.0


def tree(finding: Finding) -> Box:
    """Return the boxes of a finding: its subject, and below each box what directly follows from it."""
    known = {one.subject for one in finding.symptoms}
    effects: dict[Ref, list[Symptom]] = {}
    for one in finding.symptoms:
        above = one.after if one.after in known and one.after != one.subject else None
        effects.setdefault(above or finding.subject, []).append(one)
    root = Box(finding.subject.kind, [_name(finding.subject)], finding.message)
    placed = {finding.subject}
    _grow(root, [finding.subject], effects, placed, 0, finding.subject.namespace)
    lost = [one for one in finding.symptoms if one.subject not in placed]
    if lost:  # they follow from each other in a ring
        _grow(root, [finding.subject], {finding.subject: lost}, placed, _DEEPEST, finding.subject.namespace)
    return root


def _grow(
    box: Box,
    refs: Sequence[Ref],
    effects: dict[Ref, list[Symptom]],
    placed: set[Ref],
    depth: int,
    home: str,
) -> None:
    """Put below a box what follows from its objects; names are told without the namespace `home`."""
    below = [one for ref in refs for one in effects.get(ref, ()) if one.subject not in placed]
    placed.update(one.subject for one in below)
    groups = sorted(folded(below), key=len, reverse=True) if len(below) > _MOST else folded(below)
    for them in groups[: _MOST if len(groups) > _MOST + 1 else len(groups)]:
        child = Box(them[0].subject.kind, [_name(one.subject, home) for one in them], said(them), len(them))
        box.children.append(child)
        if depth < _DEEPEST:
            _grow(child, [one.subject for one in them], effects, placed, depth + 1, home)
    if len(groups) > _MOST + 1:
        rest = [one for them in groups[_MOST:] for one in them]
        kinds = sorted({one.subject.kind for one in rest})
        names = [f"{one.subject.kind} {_name(one.subject, home)}" for one in rest]
        other = Box(", ".join(kinds), [f"{len(rest)} more", *names[1:]], "see the list below")
        box.children.append(other)
        if depth < _DEEPEST:
            _grow(other, [one.subject for one in rest], effects, placed, depth + 1, home)


def _name(ref: Ref, home: str = "") -> str:
    return f"{ref.namespace}/{ref.name}" if ref.namespace not in {"", home} else ref.name


def _boxes(box: Box) -> Iterator[Box]:
    yield box
    for child in box.children:
        yield from _boxes(child)


def _lay(box: Box, depth: int, row: float) -> float:
    """Give every box its place, each in the middle of what follows from it; return the next free row."""
    box.x = _EDGE + depth * (WIDTH + GAP_X)
    if not box.children:
        box.y = _EDGE + row * (HEIGHT + GAP_Y)
        return row + 1
    for child in box.children:
        row = _lay(child, depth + 1, row)
    box.y = (box.children[0].y + box.children[-1].y) / 2
    return row


def svg(finding: Finding) -> str:
    """Return the drawing of a finding with symptoms, "" for one without."""
    if not finding.symptoms:
        return ""
    root = tree(finding)
    _lay(root, 0, 0)
    boxes = list(_boxes(root))
    width = max(box.x for box in boxes) + WIDTH + _EDGE
    height = max(box.y for box in boxes) + HEIGHT + _EDGE
    told = f"{finding.subject} and the {len(finding.symptoms)} symptoms that follow from it"
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    parts = [
        f'<svg class="graph" role="img" aria-label="{clean(told)}" {size} xmlns="http://www.w3.org/2000/svg">'
    ]
    parts += [_edge(box, child) for box in boxes for child in box.children]
    parts += [_drawn(box, str(finding.severity) if box is root else "") for box in boxes]
    return "\n".join([*parts, "</svg>"])


def _edge(box: Box, child: Box) -> str:
    x1, y1 = box.x + WIDTH, box.y + HEIGHT / 2
    x2, y2 = child.x - 5, child.y + HEIGHT / 2
    bend = GAP_X * 0.55
    return (
        f'<path class="edge" d="M{x1:g} {y1:g}C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"/>'
        f'<path class="tip" d="M{x2 + 5:g} {y2:g}l-8 -4.5v9z"/>'
    )


def _drawn(box: Box, severity: str) -> str:
    x, y = box.x, box.y
    shade = ""
    if box.count > 1:  # as a pile
        shade = f'<rect class="pile" x="{x + 4:g}" y="{y + 4:g}" width="{WIDTH}" height="{HEIGHT}" rx="9"/>'
    mark = f'<rect class="strip" x="{x:g}" y="{y + 12:g}" width="4" height="{HEIGHT - 24}" rx="2"/>'
    hint = "\n".join([box.kind, *box.names[:40], *(["…"] if len(box.names) > 40 else ()), box.message])
    pill = ""
    room = WIDTH - 28
    if box.count > 1:
        number = f"×{box.count}"  # noqa: RUF001  what it is: a number of times
        wide = 12 + 7.5 * len(number)
        pill = (
            f'<rect class="pill" x="{x + WIDTH - wide - 10:g}" y="{y + 9:g}" width="{wide:g}" height="17" rx="8.5"/>'
            f'<text class="many" x="{x + WIDTH - 10 - wide / 2:g}" y="{y + 21.5:g}">{number}</text>'
        )
    return (
        f'<g class="box {severity}"><title>{clean(hint)}</title>{shade}'
        f'<rect class="body" x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="9"/>{mark}{pill}'
        f'<text class="kind" x="{x + 14:g}" y="{y + 18:g}">{clean(_short(box.kind, room - 50, 6.6))}</text>'
        f'<text class="name" x="{x + 14:g}" y="{y + 35:g}">{clean(_short(box.names[0], room, 7.9))}</text>'
        f'<text class="says" x="{x + 14:g}" y="{y + 51:g}">{clean(_short(box.message, room, 6.1))}</text></g>'
    )


def _short(text: str, room: float, letter: float) -> str:
    """Return as much of a text as fits into so many pixels, at so many for a letter (twice for a wide one)."""
    text = " ".join(text.split())
    used = 0.0
    for at, char in enumerate(text):
        used += letter * (2 if unicodedata.east_asian_width(char) in "WF" else 1)
        if used > room:
            return text[: max(1, at - 1)].rstrip() + "…"
    return text
