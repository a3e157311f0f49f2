"""A diagnosis as one page that can be sent to anybody: no network, no other files, readable without scripts, in light and in dark.

What is foreign is escaped, whatever it is; the page's own policy forbids every script but its own. Decides nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fairlead import __version__
from fairlead.faces.cli import htmlgraph
from fairlead.faces.cli.answers import diffs, meaning
from fairlead.faces.cli.htmlgraph import clean
from fairlead.faces.cli.htmlstyle import SCRIPT, STYLE
from fairlead.words import Evidence, Finding, Fix, Ref, Severity

if TYPE_CHECKING:
    from fairlead.faces.cli.answers import Answer

_SOURCES = {
    "cluster": "a cluster",
    "files": "files",
    "preview": "files laid over a cluster",
    "snapshot": "a snapshot",
}
_TOLD_APART = 3
"""More notes of one rule than these are told together."""


def page(answer: Answer) -> str:
    """Return the whole page."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    apart, grouped = _parted(answer)
    title = _title(answer)
    body = [
        *_header(answer, title),
        *_filter(apart),
        '<main id="findings">',
        *(part for one in apart for part in _card(one, answer)),
        *_advice(grouped),
        "</main>",
        *_ignored(answer),
        *_footer(answer),
    ]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{clean(policy)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{clean(title)}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            *body,
            f"<script>{SCRIPT}</script>",
            "</body>",
            "</html>",
        ]
    )


def _parted(answer: Answer) -> tuple[list[Finding], list[Finding]]:
    """Part what is told into what has a card of its own, and notes that are told together."""
    counts = Counter(one.rule for one in answer.shown if one.severity == Severity.INFO)
    apart: list[Finding] = []
    grouped: list[Finding] = []
    for one in answer.shown:
        many = one.severity == Severity.INFO and (answer.advice or counts[one.rule] > _TOLD_APART)
        (grouped if many else apart).append(one)
    return apart, grouped


def _title(answer: Answer) -> str:
    grave = len(answer.grave)
    if grave:
        return "1 cause of trouble" if grave == 1 else f"{grave} causes of trouble"
    return (
        "Nothing is wrong"
        if answer.examined.scope == "live"
        else "Nothing is wrong that the files alone show"
    )


def _header(answer: Answer, title: str) -> Iterator[str]:
    examined = answer.examined
    counts = Counter(str(one.severity) for one in answer.shown)
    symptoms = sum(len(one.symptoms) for one in answer.shown)
    yield f'<header class="{"bad" if answer.grave else "good"}">'
    yield f'<p class="maker">fairlead diagnose <span>{clean(__version__)}</span></p>'
    yield f"<h1>{clean(title)}</h1>"
    at = answer.now.strftime("%Y-%m-%d %H:%M UTC")
    objects = len(examined.view)
    looked = "1 object" if objects == 1 else f"{objects} objects"
    yield f'<p class="about">{looked} of {_SOURCES[answer.seen.source]}, as of {at}</p>'
    tiles = [
        ("critical", counts["critical"], "down now" if examined.scope == "live" else "cannot work"),
        ("warning", counts["warning"], "will be, or worse than it looks"),
        ("info", counts["info"], "notes" if counts["info"] != 1 else "note"),
        ("", symptoms, "symptoms explained" if symptoms != 1 else "symptom explained"),
        ("", len(answer.hidden), "ignored"),
    ]
    yield '<ul class="tiles">'
    for kind, number, words in tiles:
        if number or kind == "critical":
            yield f'<li class="{kind if number else "none"}"><b>{number}</b><span>{clean(words)}</span></li>'
    yield "</ul>"
    for note in answer.notes:
        yield f'<p class="note">{clean(note)}</p>'
    yield "</header>"


def _filter(findings: Sequence[Finding]) -> Iterator[str]:
    """The means to find one among many: shown by the script that makes them work."""
    if len(findings) < 2:
        return
    yield '<form id="filter" hidden><input id="words" type="search" placeholder="Filter: name, namespace, rule, text" aria-label="Filter">'
    counts = Counter(str(one.severity) for one in findings)
    for severity in ("critical", "warning", "info"):
        if counts[severity]:
            yield f'<label class="{severity}"><input type="checkbox" value="{severity}" checked> {severity} <i>{counts[severity]}</i></label>'
    yield '<output id="count"></output></form>'
    yield '<nav class="toc"><ol>'
    for one in findings:
        yield (
            f'<li class="{one.severity}"><a href="#{one.id}"><b>{clean(str(one.subject))}</b> {clean(one.message)}</a></li>'
        )
    yield "</ol></nav>"


def _subject(ref: Ref) -> str:
    space = f"<i>{clean(ref.namespace)}/</i>" if ref.namespace else ""
    return f'<span class="kind">{clean(ref.kind)}</span> <span class="name">{space}{clean(ref.name)}</span>'


def _card(one: Finding, answer: Answer, *, ignored: str = "") -> Iterator[str]:
    from fairlead.diagnose.histories import told

    yield f'<article class="card {one.severity}" id="{one.id}" data-severity="{one.severity}">'
    yield f"<h2>{_subject(one.subject)}</h2>"
    yield f'<p class="message">{clean(one.message)}</p>'
    chips = [f'<span class="chip {one.severity}">{one.severity}</span>']
    means = meaning(one.rule)
    chips.append(f'<span class="chip" title="{clean(means)}">{clean(one.rule)}</span>')
    if one.confidence != "certain":
        chips.append(f'<span class="chip">{one.confidence}</span>')
    sighting = answer.histories.get(one.id)
    if sighting is not None and sighting.state == "active":
        flapping = " flapping" if sighting.flapping else ""
        chips.append(f'<span class="chip{flapping}">{clean(told(sighting, answer.now))}</span>')
    chips.append(f'<code class="id">{one.id}</code>')
    yield f'<p class="chips">{" ".join(chips)}</p>'
    for note in (ignored, *_returned(one, answer)):
        if note:
            yield f'<p class="note">{clean(note)}</p>'
    if one.cause:
        yield f'<p class="cause">{clean(one.cause)}</p>'
    if str(one.where):
        yield f'<p class="where"><code>{clean(str(one.where))}</code></p>'
    if answer.explain:
        words = answer.explanations.get(one.id) or means
        yield from (f'<p class="words">{clean(part)}</p>' for part in words.splitlines() if part.strip())
    yield from _graph(one)
    yield from _evidence(one.evidence, one.subject)
    for fix in one.fixes:
        yield from _fix(fix, one, answer)
    yield "</article>"


def _returned(one: Finding, answer: Answer) -> Iterator[str]:
    for other, by in answer.returned:
        if other is one and by.until is not None:
            yield f"was ignored until {by.until:%Y-%m-%d}: {by.reason}"


def _graph(one: Finding) -> Iterator[str]:
    if not one.symptoms:
        return
    count = "1 symptom" if len(one.symptoms) == 1 else f"{len(one.symptoms)} symptoms"
    yield f"<h3>What follows from it <i>{count}</i></h3>"
    yield f'<figure tabindex="0">{htmlgraph.svg(one)}</figure>'
    if len(one.symptoms) > 1:
        yield f"<details><summary>All {len(one.symptoms)} as a list</summary><table>"
        for symptom in one.symptoms:
            yield f"<tr><td>{_subject(symptom.subject)}</td><td>{clean(symptom.message)}</td></tr>"
        yield "</table></details>"


def _evidence(evidence: Sequence[Evidence], subject: Ref) -> Iterator[str]:
    if not evidence:
        return
    yield '<h3>Evidence</h3><table class="evidence">'
    for item in evidence:
        whose = "" if item.subject == subject else f'<span class="whose">{_subject(item.subject)}</span>'
        place = f'<code class="at">{clean(str(item.where))}</code>' if str(item.where) else ""
        yield f'<tr><th>{clean(item.kind)}</th><td>{whose}<span class="text">{clean(item.text)}</span>{place}</td></tr>'
    yield "</table>"


def _fix(fix: Fix, one: Finding, answer: Answer) -> Iterator[str]:
    whose = f" <i>the {clean(fix.origin)}'s</i>" if fix.origin else ""
    yield f'<section class="fix"><h3>Fix{whose}: {clean(fix.title)}</h3>'
    if fix.risk:
        yield f'<p class="risk">{clean(fix.risk)}</p>'
    for text in diffs(answer.examined.view, fix):
        yield f'<pre class="diff">{"".join(_coloured(text))}</pre>'
    if answer.seen.source == "cluster" and fix is one.fixes[0]:
        yield f'<p class="command"><code>fairlead fix {one.id}</code> tries it on a copy first</p>'
    yield "</section>"


def _coloured(text: str) -> Iterator[str]:
    for line in text.splitlines():
        sort = (
            "head"
            if line.startswith(("+++", "---"))
            else {"+": "add", "-": "del", "@": "at"}.get(line[:1], "")
        )
        yield f'<span class="{sort}">{clean(line)}</span>\n' if sort else f"{clean(line)}\n"


def _advice(findings: Sequence[Finding]) -> Iterator[str]:
    """Notes by their rule."""
    rules: dict[str, list[Finding]] = {}
    for one in findings:
        rules.setdefault(one.rule, []).append(one)
    if not rules:
        return
    yield '<section class="advice"><h2>What could be better</h2>'
    for rule, them in sorted(rules.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        yield f'<details data-severity="info"><summary><b>{clean(rule)}</b> <i>{len(them)}</i> {clean(meaning(rule) or them[0].message)}</summary><table>'
        for one in them:
            place = f'<code class="at">{clean(str(one.where))}</code>' if str(one.where) else ""
            yield f"<tr><td>{_subject(one.subject)}</td><td>{clean(one.message)}{place}</td></tr>"
        yield "</table></details>"
    yield "</section>"


def _ignored(answer: Answer) -> Iterator[str]:
    if not answer.hidden:
        return
    state = " open" if answer.show_hidden else ""
    yield f'<section class="ignored"><details{state}><summary>{len(answer.hidden)} ignored</summary>'
    for one, by in answer.hidden:
        until = f" until {by.until:%Y-%m-%d}" if by.until else ""
        who = f" (by {by.by})" if by.by else ""
        yield from _card(one, answer, ignored=f"ignored{until}: {by.reason}{who}")
    yield "</details></section>"


def _footer(answer: Answer) -> Iterator[str]:
    yield "<footer>"
    if answer.examined.unseen:
        kinds = ", ".join(sorted(kind for _, kind in answer.examined.unseen))
        yield f"<p>Not looked at, because they could not be listed: {clean(kinds)}.</p>"
    if answer.left_out:
        yield f"<p>{answer.left_out} findings were not asked for.</p>"
    yield "<p>One entry for each root cause; what follows from it is shown with it. What was not seen is never held against anybody.</p>"
    yield "</footer>"
