"""The evaluator's words for what authors often meet, put into ours, with what was probably meant.

Must never hide anything: what is not known here is told as the evaluator says it.
"""

from __future__ import annotations

import re
from typing import Final

from fairlead.render.building_texts import nearest
from fairlead.render.prelude import PRELUDE

_CALL: Final = r"for call to `?(?:@[\w/]+\.)?([\w.]+?)`?\Z"
_SAID: Final = (
    (
        re.compile(rf"\AMissing (?:named-only |positional-only )?parameter `(\w+)` {_CALL}"),
        r"\2() needs `\1`",
    ),
    (re.compile(rf"\AFound (`[^`]+`)(?: `[^`]+`)* extra named parameter\(s\) {_CALL}"), r"\2() takes no \1"),
    (
        re.compile(r"\AFound \d+ extra positional argument\(s\) for call to `?\S*lambda`?\Z"),
        "a constructor is given its fields by name, such as name = ...",
    ),
    (
        re.compile(r"\AOperation `\[\]` not supported for types `struct` and `string`"),
        'this is read with a dot, as in values.name, not with ["name"]',
    ),
    (
        re.compile(rf"\AFound (\d+) extra positional argument\(s\) {_CALL}"),
        r"\2() is given \1 arguments too many",
    ),
    (
        re.compile(r"\AObject of type `struct` has no attribute `(\w+)`(, did you mean `\w+`\?)?"),
        r"there is no `\1` here\2",
    ),
    (
        re.compile(
            r"\AOperation `\+` not supported for types `(?:string|int|float)` and `(?:string|int|float)`"
        ),
        "a text and a number cannot be added: make the number a text with str(...)",
    ),
    (
        re.compile(r"\ANot a valid identifier: `([^`]+)`"),
        r'an f-string holds plain names only, not `\1`: give it a name first, or write "{}".format(\1)',
    ),
    (
        re.compile(r"\AImmutable\Z"),
        "this cannot be changed: it is a constant of a file that is loaded, or is just being gone through",
    ),
    (
        re.compile(r"\ALocal variable `(\w+)` referenced before assignment"),
        r"`\1` is used before it has a value",
    ),
)
_EXTRA: Final = re.compile(rf"\AFound `([^`]+)`(?: `[^`]+`)* extra named parameter\(s\) {_CALL}")


def said(message: str) -> tuple[str, str]:
    """Return a message in our words, and a hint or ""."""
    extra = _EXTRA.search(message)
    hint = ""
    if extra is not None:
        names = parameters(extra[2])
        near = nearest(extra[1], names)
        hint = f"did you mean `{near}`?" if near else f"it takes {', '.join(names)}" if names else ""
    for pattern, words in _SAID:
        found = pattern.search(message)
        if found is not None:
            return found.expand(words), hint
    return message, hint


def parameters(name: str) -> list[str]:
    """Return the names of the parameters of a function of the prelude; none for what it does not have."""
    found = re.search(rf"^def {re.escape(name)}\((.*)\):$", PRELUDE, re.MULTILINE)
    return re.findall(r"(?:^|, )\*{0,2}([a-z_]+)", found[1]) if found else []
