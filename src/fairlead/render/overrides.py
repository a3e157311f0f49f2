r"""Values from files and options, merged as Helm merges them: `--values`, `--set`, `--set-string`, `--set-json`, `--set-file`.

The options' small language has names with dots, list indexes, lists in braces and backslashes: `a.b[0]=c,d={x,y},e=\,z`. The texts
of errors are Helm's. Pure: what a `--set-file` names is read by somebody else and handed in. Must never change what it was given.
Source: helm.sh/helm/v3/pkg/strvals and pkg/cli/values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from fairlead.render.packages import Layer, Mistake, Mistaken
from fairlead.tongues import yamls
from fairlead.words import Where

MOST_INDEX: Final = 65536
"""The largest index that a list may be given."""
MOST_NESTED: Final = 30
"""How many dots a name may have."""
ORDER: Final = ("file", "set-json", "set", "set-string", "set-file", "set-literal")
"""The sorts of layers in the order in which they are applied, whatever the order in which they were written."""

Read = Callable[[str], str]
"""Gives the content of a file that `--set-file` names. Raises KeyError or OSError for one that is not there."""


class BadOverride(ValueError):
    """An option's text is not what Helm takes; the message is Helm's."""


def merged(
    layers: Iterable[Layer],
    read: Read | None = None,
    *,
    under: Mapping[str, Any] | None = None,
    load: Callable[[str], Any] = yamls.load,
) -> dict[str, Any]:
    """Return the values of all layers: files first, then options by sort (see ORDER), later ones over earlier ones.

    `under` is what they are laid over; `load` reads a file's text and raises BadYaml. Raises Mistaken with every layer that cannot be
    read. An explicit null stays in the result, as it deletes a chart's default.
    """
    values: dict[str, Any] = overlaid({}, under or {})
    mistakes: list[Mistake] = []
    for layer in sorted(layers, key=lambda layer: ORDER.index(layer.sort)):
        try:
            if layer.sort == "file":
                values = overlaid(values, _table(load(layer.text)))
            else:
                apply_set(values, layer.text, layer.sort, read)
        except BadOverride as fault:
            mistakes.append(
                Mistake(f"failed parsing --{layer.sort} data: {fault}", Where(layer.name), excerpt=layer.text)
            )
        except yamls.BadYaml as fault:
            mistakes.append(
                Mistake(f"failed to parse {layer.name}: {fault.message}", Where(layer.name, fault.line))
            )
    if mistakes:
        raise Mistaken(*mistakes)
    return values


def _table(found: Any) -> dict[str, Any]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise yamls.BadYaml(f"values are a mapping, and this is a {_sort(found)}")
    return found


def _sort(value: object) -> str:
    return {list: "list", str: "text", bool: "boolean", int: "number", float: "number"}.get(
        type(value), "null"
    )


def overlaid(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return the second mapping over the first: mappings are merged, anything else is replaced. Neither is changed."""
    result = dict(under)
    for key, value in over.items():
        here = result.get(key)
        if isinstance(value, Mapping) and isinstance(here, Mapping):
            result[key] = overlaid(here, value)
        else:
            result[key] = _copied(value)
    return result


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return value


def apply_set(into: dict[str, Any], text: str, sort: str = "set", read: Read | None = None) -> None:
    """Apply one option's text to `into`, in place. Raises BadOverride; what came before the mistake may then be in `into`.

    `sort` is the option without its dashes: set, set-string, set-json, set-file (with `read`) or set-literal.
    """
    if sort == "set-literal":
        _Setting(into, text, lambda word: word, escapes=False).run()
    elif sort == "set-json":
        _Setting(into, text, None).run()
    elif sort == "set-file":
        _Setting(into, text, _reading(read)).run()
    else:
        _Setting(into, text, str if sort == "set-string" else typed).run()


def files_named(text: str) -> list[str]:
    """Return the paths that a `--set-file` option's text names, for whoever reads them beforehand."""
    paths: list[str] = []

    def note(path: str) -> str:
        paths.append(path)
        return ""

    _Setting({}, text, note).run()
    return paths


def _reading(read: Read | None) -> Callable[[str], str]:
    def content(path: str) -> str:
        if read is None:
            raise BadOverride(f"open {path}: no such file or directory")
        try:
            return read(path)
        except (KeyError, OSError):
            raise BadOverride(f"open {path}: no such file or directory") from None

    return content


_INTEGER = re.compile(r"[+-]?[0-9]+\Z")


def typed(word: str) -> Any:
    """Return what a `--set` value means: true, false, null, a whole number that does not begin with zero, or the text."""
    lower = word.lower()
    if lower in {"true", "false"}:
        return lower == "true"
    if lower == "null":
        return None
    if word == "0":
        return 0
    if word and word[0] != "0" and _INTEGER.match(word) and word.isascii() and len(word) < 21:
        number = int(word)
        if -(1 << 63) <= number < 1 << 63:
            return number
    return word


class _End(Exception):
    """The text ended."""


_JSON = json.JSONDecoder()
_SPACE = " \t\n\v\f\r\x85\xa0"


class _Setting:
    """A cursor over an option's text, and the values that it changes. `convert` is None where values are JSON."""

    def __init__(
        self, into: dict[str, Any], text: str, convert: Callable[[str], Any] | None, *, escapes: bool = True
    ) -> None:
        self._into, self._text, self._at = into, text, 0
        self._convert, self._escapes = convert, escapes

    def run(self) -> None:
        try:
            while True:
                self._key(self._into, 0)
        except _End:
            return

    def _until(self, stops: str) -> tuple[str, str]:
        """The text up to a stop, and the stop: "" at the end."""
        word: list[str] = []
        while self._at < len(self._text):
            letter = self._text[self._at]
            self._at += 1
            if letter in stops:
                return "".join(word), letter
            if letter == "\\" and self._escapes:
                if self._at >= len(self._text):
                    break
                letter = self._text[self._at]
                self._at += 1
            word.append(letter)
        return "".join(word), ""

    def _key(self, into: dict[str, Any], depth: int) -> None:
        name, stop = self._until("=[,." if self._escapes else "=[.")
        if not stop:
            if not name:
                raise _End
            raise BadOverride(f"key {_quoted(name)} has no value")
        if stop == ",":
            _put(into, name, "")
            raise BadOverride(f"key {_quoted(name)} has no value (cannot end with ,)")
        if stop == "=":
            self._value(lambda value: _put(into, name, value))
        elif stop == "[":
            index = self._index()
            there = into.get(name)
            if name in into and not isinstance(there, list):
                raise BadOverride(_unlike(there, "[]interface {}"))
            held: list[Any] = there if isinstance(there, list) else []
            try:
                held = self._item(held, index, depth)
            finally:
                _put(into, name, held)
        else:
            self._inner(into, name, depth + 1)

    def _inner(self, into: dict[str, Any], name: str, depth: int) -> None:
        """What stands behind a dot."""
        if depth > MOST_NESTED:
            raise BadOverride(
                f"value name nested level is greater than maximum supported nested level of {MOST_NESTED}"
            )
        there = into.get(name)
        if name in into and not isinstance(there, dict):
            raise BadOverride(_unlike(there, "map[string]interface {}"))
        inner: dict[str, Any] = there if isinstance(there, dict) else {}
        try:
            self._key(inner, depth)
        finally:
            if inner:
                _put(into, name, inner)
        if not inner:
            raise BadOverride(f"key map {_quoted(name)} has no value")

    def _value(self, put: Callable[[Any], None]) -> None:
        """What stands behind an equals sign. Raises _End with the value put where the text ends."""
        if self._convert is None:
            put(self._json())
        elif not self._escapes:
            put(self._until("")[0])
        elif self._at >= len(self._text):
            put("")
            raise _End
        elif self._text[self._at] == "{":
            self._at += 1
            put(self._list())
        else:
            word, _ = self._until(",")
            put(self._convert(word))

    def _list(self) -> list[Any]:
        assert self._convert is not None
        found = []
        while True:
            word, stop = self._until(",}")
            if not stop:
                raise BadOverride("list must terminate with '}'")
            found.append(self._convert(word))
            if stop == "}":
                if self._text[self._at : self._at + 1] == ",":
                    self._at += 1
                return found

    def _json(self) -> Any:
        if self._blank():
            return None
        try:
            value, self._at = _JSON.raw_decode(self._text, self._at)
        except (ValueError, RecursionError):
            shown = self._text[self._at : self._at + 40]
            raise BadOverride(f"{_quoted(shown)} is not JSON") from None
        self._blank()
        return value

    def _blank(self) -> bool:
        """Go over space and a comma; tell whether there was nothing else."""
        while self._at < len(self._text):
            letter = self._text[self._at]
            if letter != "," and letter not in _SPACE:
                return False
            self._at += 1
            if letter == ",":
                return True
        return True

    def _index(self) -> int:
        word, stop = self._until("]")
        if not stop:
            raise BadOverride("error parsing index: EOF")
        if not _INTEGER.match(word) or not word.isascii() or len(word) > 18:
            raise BadOverride(f"error parsing index: strconv.Atoi: parsing {_quoted(word)}: invalid syntax")
        return int(word)

    def _item(self, held: list[Any], index: int, depth: int) -> list[Any]:
        if index < 0:
            raise BadOverride(f"negative {index} index not allowed")
        word, stop = self._until("[.=")
        if word:
            runes = " ".join(f"'{letter}'" for letter in word)
            raise BadOverride(f"unexpected data at end of array index: [{runes}]")
        if not stop:
            raise _End
        there = held[index] if index < len(held) else None
        if stop == "=":
            self._ending(lambda: self._value(lambda value: _place(held, index, value)))
        elif stop == "[":
            following = self._index()
            if there is not None and not isinstance(there, list):
                raise BadOverride(_unlike(there, "[]interface {}"))
            inner_list = self._item(there if isinstance(there, list) else [], following, depth)
            _place(held, index, inner_list)
        else:
            inner: dict[str, Any] = there if isinstance(there, dict) else {}
            if index < len(held):
                held[index] = inner
            self._key(inner, depth)
            _place(held, index, inner)
        return held

    @staticmethod
    def _ending(step: Callable[[], None]) -> None:
        """Behind a list's value the end is found by the next name, as Helm finds it."""
        try:
            step()
        except _End:
            return


def _put(into: dict[str, Any], name: str, value: Any) -> None:
    if name:
        into[name] = value


def _place(held: list[Any], index: int, value: Any) -> None:
    if index > MOST_INDEX:
        raise BadOverride(f"index of {index} is greater than maximum supported index of {MOST_INDEX}")
    held.extend([None] * (index + 1 - len(held)))
    held[index] = value


def _quoted(word: str) -> str:
    return json.dumps(word, ensure_ascii=False)


def _unlike(value: object, wanted: str) -> str:
    if value is None:
        return f"unable to parse key: interface conversion: interface {{}} is nil, not {wanted}"
    sort = {
        str: "string",
        bool: "bool",
        int: "int64",
        float: "float64",
        list: "[]interface {}",
        dict: "map[string]interface {}",
    }.get(type(value), "unknown")
    return f"unable to parse key: interface conversion: interface {{}} is {sort}, not {wanted}"
