"""Writes docs/kinds.md from the code's own table of kinds: `python tools/make_kinds_table.py > docs/kinds.md`."""

from __future__ import annotations

from fairlead.keep.kinds import BUILT_IN


def page() -> str:
    """Return the page."""
    lines = [
        "# The kinds that the API serves",
        "",
        "Made by `python tools/make_kinds_table.py` from the table that the server itself reads; a test keeps both the same.",
        "CustomResourceDefinitions add to it at run time.",
        "",
        "| API version | kind | short names | scope | verbs | subresources |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {kind.api_version} | {kind.kind} | {' '.join(kind.short_names)} "
        f"| {'namespace' if kind.namespaced else 'cluster'} | {' '.join(sorted(kind.verbs))} "
        f"| {' '.join(sorted(kind.subresources))} |"
        for kind in sorted(BUILT_IN, key=lambda kind: (kind.group, kind.version, kind.kind))
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
