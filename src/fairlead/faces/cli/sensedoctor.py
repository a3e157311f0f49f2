"""`fairlead sense doctor`: what this kernel allows, what serves each hook of the rules in its place, and what is lost by it.

Changes nothing but what looking needs: filesystems of the kernel are mounted where they are absent. Exit code 0 when processes can be
watched here, 1 when not.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fairlead.faces.cli.diagnose import pen
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    from fairlead.drivers.kernel import Abilities
    from fairlead.faces.cli.pens import Pen

NEEDED = ("btf", "ring_buffer")


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of a table: its mark, its cells, and what is to be said under it, by label."""

    good: bool
    cells: list[str]
    notes: dict[str, str]


def run(args: argparse.Namespace) -> int:
    """Print the report in the form that is asked for."""
    from fairlead.drivers import kernel
    from fairlead.faces.cli.sense import ruleset
    from fairlead.faces.cli.showing import told

    if args.output in {"findings", "falco", "tetragon", "tracee"}:
        raise Problem(f"-o {args.output} is for a stream", "the doctor writes table, json or yaml", code=2)
    try:
        abilities = kernel.probe()
    except kernel.Refused as error:
        raise Problem(f"nothing can be watched here: {error}", error.hint) from error
    rules = ruleset(args, abilities.names)
    for one in rules.findings:
        if one.severity != "info" and not one.rule.startswith("tracingpolicy."):  # of those the table tells
            print(told(one), file=sys.stderr)
    found = report(abilities, rules)
    if args.output == "json":
        print(json.dumps(found, indent=2))
    elif args.output == "yaml":
        import yaml

        print(yaml.safe_dump(found, sort_keys=False, width=200), end="")
    else:
        print("\n".join(table(found, pen(args))))
    return 0 if found["works"] else 1


def report(abilities: Abilities, rules: Any) -> dict[str, Any]:
    """Return all as plain data: {works, kernel: {...}, abilities: [...], hooks: [...], rules: [...]}."""
    return {
        "works": all(name in abilities for name in NEEDED)
        and ("tp_btf" in abilities or "rawtracepoint" in abilities),
        "kernel": dict(abilities.facts),
        "abilities": [
            {
                "name": one.name,
                "available": one.available,
                "for": one.what,
                **({"why": one.why_not, "instead": one.instead} if one.why_not else {}),
            }
            for one in abilities.rows
        ],
        "hooks": _hooks(abilities, rules),
        "policies": [
            {
                "policy": key,
                "path": row.path,
                "function": row.function,
                "used": row.used,
                "differs": row.differs,
                "lost": row.lost,
            }
            for key, rows in sorted(rules.policies.items())
            for row in rows
        ],
    }


def _hooks(abilities: Abilities, rules: Any) -> list[dict[str, str]]:
    """Return what would serve each hook of the rules' plan here."""
    from fairlead.drivers.kernel.placing import Unplaceable, choices
    from fairlead.drivers.kernel.probing import has_tracepoint
    from fairlead.sense.judging import Engine

    if not rules.rules:
        return []
    rows = []
    for hook in Engine(rules.rules).plan.hooks:
        row = {"hook": f"{hook.sort} {hook.name}" + (" (entry)" if hook.enter else "")}
        try:
            best = choices(hook, abilities.names, has_tracepoint)[0]
            rows.append({**row, "used": best.how, "lost": best.lost})
        except Unplaceable as error:
            rows.append({**row, "used": "", "lost": str(error)})
    return rows


def table(found: dict[str, Any], pen_: Pen) -> list[str]:
    """Return the report as lines for a person."""
    facts = found["kernel"]
    head = f"Linux {facts.get('kernel', '?')} on {facts.get('machine', '?')}, libbpf {facts.get('libbpf', 'absent')}"
    lines = [pen_.paint(head, "1")]
    lines += [
        f"  {name.replace('_', ' ')}: {value}"
        for name, value in facts.items()
        if name not in {"kernel", "machine", "libbpf"} and value
    ]
    lines += ["", *_rows(("WHAT", "FOR"), [_ability(one) for one in found["abilities"]], pen_)]
    if found["hooks"]:
        lines += ["", *_rows(("HOOK OF A RULE", "SERVED BY"), [_hook(one) for one in found["hooks"]], pen_)]
    if found["policies"]:
        rows = [_policy(one) for one in found["policies"]]
        lines += ["", *_rows(("POLICY", "FUNCTION", "SEEN BY"), rows, pen_)]
    verdict = "Processes can be watched here." if found["works"] else "Processes can't be watched here."
    return [*lines, "", pen_.paint(verdict, "32" if found["works"] else "31;1")]


def _ability(one: dict[str, Any]) -> _Row:
    notes = {"why not": one.get("why", ""), "instead": one.get("instead", "")}
    return _Row(one["available"], [one["name"], one["for"]], notes)


def _hook(one: dict[str, Any]) -> _Row:
    used = _short(one["used"])
    return _Row(bool(used), [one["hook"], used or "nothing"], {"lost": one["lost"]})


def _policy(one: dict[str, Any]) -> _Row:
    used = _short(one["used"])
    cells = [f"{one['policy']} {one['path']}", one["function"], used or "nothing"]
    return _Row(bool(used), cells, {"differs": one["differs"], "lost": one["lost"]})


def _short(names: str) -> str:
    """Return a list of names as a table has room for it; json and yaml have all of it."""
    first, *more = names.split(", ")
    return f"{first} and {len(more)} more" if len(more) > 1 else names


def _mark(good: bool, pen_: Pen) -> str:
    return pen_.paint("✔", "32") if good else pen_.paint("✖", "31")


def _rows(head: Sequence[str], rows: Sequence[_Row], pen_: Pen) -> list[str]:
    """Return columns that line up, each row with a mark in front and its notes under it."""
    last = len(head) - 1
    widths = [max(len(head[at]), *(len(row.cells[at]) for row in rows)) for at in range(last)]
    lines = [pen_.paint(f"  {_joined(head, widths)}", "2")]
    for row in rows:
        lines.append(f"{_mark(row.good, pen_)} {_joined(row.cells, widths)}")
        for label, text in row.notes.items():
            if text:
                lines += pen_.wrap(f"{label}: {text}", "    ", "2", hang="      ")
    return lines


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return cells in their columns; the last is not padded."""
    *first, last = cells
    return "".join(cell.ljust(width + 2) for cell, width in zip(first, widths, strict=True)) + last
