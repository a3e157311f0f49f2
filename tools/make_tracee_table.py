"""Writes docs/tracee.md from the code's own tables: `python tools/make_tracee_table.py > docs/tracee.md`."""

from __future__ import annotations

import textwrap

from fairlead.dialects.tracee.events import sorts
from fairlead.dialects.tracee.happenings import Named, Plain
from fairlead.sense.behaviours import BEHAVIOURS, LEVELS, rule
from fairlead.sense.syscalls import EVERY

HEAD = """\
# Tracee

Made by `python tools/make_tracee_table.py` from the tables that the program itself reads; a test keeps both the same.

Tracee's policies (`kind: Policy` and the older plain form), its YAML detectors (plain and `kind: Detector`) and their shared lists are read as they
are, together with rules of other formats. What in a file is wrong, or cannot be seen, becomes a finding with file, line and path, and the
rest is used.

## Behaviours

Detectors of fairlead's own for the behaviours that Tracee's users know by name. A policy selects one by the name of its event; without a
policy, `fairlead sense --behaviours` watches for all of them.

| event | id | severity | technique | seen by |
| --- | --- | --- | --- | --- |
"""
CALLS = """
## System calls

Every system call of the machine can be named, as can the sets (`tag=fs`, `proc_life` ...) and beginnings (`open*`). Calls are seen when they
return; the arguments go by Tracee's names.

## Other events

| event | data | seen by |
| --- | --- | --- |
"""
LOST = """
## What cannot be seen

| events | why |
| --- | --- |
"""


def behaviours() -> list[str]:
    """Return a line for each behaviour."""
    lines = []
    for one in dict.fromkeys(BEHAVIOURS.values()):
        if one.why_not:
            seen = f"nothing: {one.why_not}"
        else:
            made = rule(one)
            seen = ", ".join(dict.fromkeys((*made.kinds, *(hook.name for hook in made.hooks))))
        lines.append(f"| `{one.event}` | {one.id} | {LEVELS[one.severity]} | {one.technique_id} | {seen} |")
    return lines


def events() -> list[str]:
    """Return a line for each event that is no system call and can be seen."""
    lines = []
    for name, sort in sorted(sorts().items()):
        if not isinstance(sort, Plain) or sort.why_not or (name in EVERY and set(sort.sources) == {name}):
            continue
        data = ", ".join(field for field, _ in sort.signature if sort.knows(field) is True)
        lines.append(f"| `{name}` | {data or '-'} | {', '.join(sort.sources)} |")
    return lines


def lost() -> list[str]:
    """Return a line for each reason why events cannot be seen."""
    found: dict[str, list[str]] = {}
    for name, sort in sorted(sorts().items()):
        if sort.why_not and not isinstance(sort, Named):
            found.setdefault(sort.why_not, []).append(f"`{name}`")
    return [f"| {', '.join(names)} | {why} |" for why, names in found.items()]


if __name__ == "__main__":
    count = sum(name in EVERY for name in sorts())
    print(HEAD + "\n".join(behaviours()))
    print(CALLS + "\n".join(events()))
    print(LOST + "\n".join(lost()))
    print()
    print(textwrap.fill(f"{len(sorts())} names in all, of which {count} are system calls.", 130))
