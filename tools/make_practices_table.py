"""Writes docs/practices.md from the code's own tables: `python tools/make_practices_table.py > docs/practices.md`."""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.diagnose.rules import RULES
from fairlead.judge.practices import EXEMPT, PRACTICES, SYSTEM, Practice
from fairlead.reactor.practising import GRAVE, PAIRED, PAIRINGS

HEAD = f"""\
# Practices

Made by `python tools/make_practices_table.py` from the tables that the program itself reads; a test keeps both the same.

Policies that nobody has to write: what one object shows alone of good practice is the judge's, what only several show together is the
diagnosis's. Danger fails; the rest warns.

| what | how |
| --- | --- |
| files | `fairlead judge --practices manifests/`, beside policies of any format (`-p`) |
| what runs | `fairlead judge --cluster --practices` (not in {", ".join(sorted(SYSTEM))}) |
| some of them | `--check host-network --check 'image-*' --check resources`, `--skip pull-policy`, `--severity danger\\|warning\\|info` (default: warning) |
| images from here only | `--registry ghcr.io/team` |
| mended | `--fix` changes the files where a remedy is known, keeps their comments, and says what each change risks |
| as Polaris is told to | `fairlead judge -p polaris.yaml manifests/`: its configuration as it is, with severities, exemptions, and checks of one's own in JSON schema |
| beside a diagnosis | findings of severity info, where advice is asked for |

`--check` and `--skip` take names, patterns, categories, and the names of Polaris's checks. What controllers made is not judged: their templates are.

An object is spared by an annotation: `{EXEMPT}: cpu-limit, host-network` (or `all`), and Polaris's own,
`polaris.fairwinds.com/exempt: "true"` and `polaris.fairwinds.com/<check>-exempt: "true"`, count as they do there.

## What one object shows

"""
PAIRS = """
## What several objects show together

In files, what is not among them proves nothing, and is told as such.

| rule | weight | what it means | Polaris |
| --- | --- | --- | --- |"""


def row(one: Practice) -> str:
    """Return the table's row of a practice."""
    polaris = ", ".join(f"`{check}`" for check in one.polaris)
    popeye = ", ".join(str(code) for code in one.popeye)
    fix = f"yes; risk: {one.risk}" if one.risk else ""
    return f"| `{one.rule}` | {one.weight} | {one.title} | {polaris} | {popeye} | {fix} |"


def lines() -> Iterator[str]:
    """Yield the page's lines."""
    yield HEAD.rstrip("\n")
    for category in dict.fromkeys(one.category for one in PRACTICES):
        yield f"\n### {category.capitalize()}\n"
        yield "| rule | weight | what is asked for | Polaris | Popeye | `--fix` |"
        yield "| --- | --- | --- | --- | --- | --- |"
        yield from (row(one) for one in PRACTICES if one.category == category)
    yield PAIRS
    for rule in sorted(PAIRED):
        checks = ", ".join(f"`{check}`" for check, pairing in PAIRINGS.items() if rule in pairing.rules)
        yield f"| `{rule}` | {'danger' if rule in GRAVE else 'warning'} | {RULES[rule]} | {checks} |"


if __name__ == "__main__":
    print("\n".join(lines()))
