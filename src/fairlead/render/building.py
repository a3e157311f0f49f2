"""A module's evaluation: the prelude that its files see, what they load, and the mistakes that its constructors tell.

`Building` is one package's. What does not depend on the package (the prelude, Kubernetes' types) is made once for each set of definitions
and shared; it cannot change. Must never let one package's evaluation see another's.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import orjson

from fairlead.render import building_texts, constructors, prelude, prelude_checks, prelude_rules
from fairlead.render.building_places import Places
from fairlead.render.packages import Mistake
from fairlead.tongues import starlark
from fairlead.tongues.paths import dotted
from fairlead.words import Where

MOST_MISTAKES: Final = 100
MOST_NOTES: Final = 1000
TOO_MANY: Final = "there are more mistakes than are told"
_MOST_TIMES: Final = 1000
_LONGEST: Final = 120
"""Characters of a key that messages show."""
OURS: Final = "@"
"""What the names of our own Starlark files begin with: their lines are no places for authors."""


@dataclass(slots=True)
class Told:
    """What an evaluation has told so far."""

    places: Places
    mistakes: list[Mistake] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    count: int = 0
    """How often a mistake was told, the same ones too."""
    fallback: tuple[str, int] = ("", 0)
    """The place of what no call of the author's own made: the definition of `build`."""

    def add(self, message: str, hint: str, stack: str, keys: Sequence[str | int] = ()) -> None:
        """Note a mistake at a path of the arguments of the innermost call that is the author's own."""
        self.count += 1
        if len(self.mistakes) >= MOST_MISTAKES or self.count > _MOST_TIMES:
            raise ValueError(TOO_MANY)  # who makes so many makes more of them, and time is better spent
        made = self.mistake(message, hint, starlark.frames(stack), keys)
        if made not in self.mistakes:
            self.mistakes.append(made)

    def mistake(
        self, message: str, hint: str, frames: Sequence[starlark.Frame], keys: Sequence[str | int] = ()
    ) -> Mistake:
        """Return a mistake with its place, its line, and the calls that led there."""
        own = [frame for frame in frames if not frame.file.startswith(OURS)]
        path = dotted(tuple(keys))
        if not own:
            file, line = self.fallback
            return Mistake(message, Where(file, line, path), 0, self.places.line(file, line), hint)
        last = own[-1]
        line, column = self.places.find(last.file, last.line, keys)
        return Mistake(
            message,
            Where(last.file, line, path),
            column,
            self.places.line(last.file, line),
            hint,
            tuple(Where(frame.file, frame.line) for frame in own[:-1]),
        )


_TOLD: ContextVar[Told] = ContextVar("told")
"""Whose evaluation this is. The prelude is shared, and what it tells goes to whoever evaluates just now."""


def _path(keys: list[str | int]) -> list[str | int]:
    """Return a path that Starlark has gathered from its end, in order, with keys that can be shown."""
    return [key if isinstance(key, int) else key[:_LONGEST] for key in reversed(keys)]


def _report(keys: list[str | int], message: str, hint: str, stack: str) -> None:
    _TOLD.get().add(message, hint, stack, _path(keys))


def _mistake_at(stack: str, message: str, hint: str) -> None:
    _TOLD.get().add(message, hint, stack)


def _unknown_field(keys: list[str | int], key: str, short: str, fields: list[str], stack: str) -> str:
    near = building_texts.nearest(key, fields)
    hint = f"did you mean `{near}`?" if near else ""
    if not near and len(fields) <= 12:
        hint = f"it has {', '.join(sorted(fields))}" if fields else "it has none"
    _TOLD.get().add(f"{short} has no field `{key[:_LONGEST]}`", hint, stack, _path(keys))
    return near


def _unknown_word(keys: list[str | int], name: str, value: str, options: list[str], stack: str) -> None:
    near = building_texts.nearest(value, options)
    wanted = _or([json.dumps(word) for word in options])
    hint = f'did you mean "{near}"?' if near else ""
    _TOLD.get().add(f"{name} must be {wanted}, is {building_texts.quoted(value)}", hint, stack, _path(keys))


def _unknown_reference(
    keys: list[str | int], subject: str, name: str, known: list[str], owner: str, stack: str
) -> None:
    near = building_texts.nearest(name, known)
    have = ", ".join(json.dumps(word) for word in known) if known else "none"
    hint = f'did you mean "{near}"?' if near else f"{owner} {have}"
    message = f"{subject} {building_texts.quoted(name)}, which is not there"
    _TOLD.get().add(message, hint, stack, _path(keys))


def _unknown_kind(api: str, kind: str, known: list[str], stack: str) -> None:
    near = building_texts.nearest(kind, known)
    _TOLD.get().add(
        f"Kubernetes has no kind {building_texts.quoted(kind)} in {api}",
        f"did you mean {near}?" if near else "",
        stack,
    )


def _or(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


_TELLING: Final[Mapping[str, Callable[..., Any]]] = {
    "report": _report,
    "mistake_at": _mistake_at,
    "told_any": lambda: bool(_TOLD.get().mistakes),
    "unknown_field": _unknown_field,
    "unknown_word": _unknown_word,
    "unknown_kind": _unknown_kind,
    "unknown_reference": _unknown_reference,
}


@lru_cache(maxsize=1)
def _checks() -> starlark.Library:
    text = prelude_rules.FORMS + prelude_rules.RULES + prelude_checks.CHECKS
    return starlark.library("@fairlead/checks", text, {**_TELLING, **building_texts.CALLS})


class Kubernetes:
    """Kubernetes' types as constructors, made once from the definitions."""

    def __init__(self, definitions: constructors.Definitions) -> None:
        self.definitions = definitions
        self.groups = constructors.groups(definitions)
        self.table = constructors.table(definitions)
        checks = _checks()
        self.types = _linked("@fairlead/types", self.table, [checks])
        calls = {**_TELLING, **building_texts.CALLS}
        self.prelude = starlark.library("@fairlead/prelude", prelude.PRELUDE, calls, [checks, self.types])

    @lru_cache(maxsize=512)  # noqa: B019  there is one of these in a process, and it stays
    def library(self, path: str, names: tuple[tuple[str, str], ...]) -> starlark.Library:
        """Return the constructors of these types: (what they are loaded as, name of the type)."""
        return _constructors(path, names, self.types)


def _linked(
    name: str, table: constructors.Table, loads: list[starlark.Library], more: str = "{}"
) -> starlark.Library:
    text = "".join(
        f"load({json.dumps(item.name)}, {symbols})\n"
        for item, symbols in zip(loads, ('"linked"', 'BELOW = "TYPES"'), strict=False)
    )
    literal = json.dumps(orjson.dumps(table).decode())
    return starlark.library(name, f"{text}TYPES, KINDS = linked({literal}, {more})\n", loads=loads)


def _constructors(path: str, names: Iterable[tuple[str, str]], types: starlark.Library) -> starlark.Library:
    lines = [f'load("@fairlead/checks", "constructor")\nload({json.dumps(types.name)}, "TYPES")\n']
    lines += [f"{symbol} = constructor(TYPES[{json.dumps(name)}])\n" for symbol, name in names]
    return starlark.library(path, "".join(lines), loads=[_checks(), types])


_KNOWN: list[Kubernetes] = []


def kubernetes(definitions: constructors.Definitions) -> Kubernetes:
    """Return the constructors of these definitions: the same for the same ones."""
    if not _KNOWN or _KNOWN[0].definitions is not definitions:
        _KNOWN[:] = [Kubernetes(definitions)]
    return _KNOWN[0]


class Building:
    """One package's evaluation.

    `files` are the texts of its Starlark files and of those that it loads from other packages, by name; `dependencies` which folder a
    dependency's files are in; `custom` its CustomResourceDefinitions; `read` gives the bytes of a file of the package.
    """

    def __init__(
        self,
        known: Kubernetes,
        files: Mapping[str, bytes],
        *,
        entry: str,
        dependencies: Mapping[str, str],
        custom: Iterable[Mapping[str, Any]] = (),
        budget: starlark.Budget | None = None,
    ) -> None:
        self._known = known
        self._files = files
        self._dependencies = dependencies
        self._entry = entry
        texts = {name: _text(data) for name, data in files.items() if name.endswith(".star")}
        self._texts = texts
        places = Places(texts)
        self.told = Told(places, fallback=(entry, places.definition(entry, "build")))
        table, self._custom = constructors.custom(custom)
        self.custom_types = (
            _linked("@fairlead/custom", table, [_checks(), known.types], "BELOW") if table else known.types
        )
        self._evaluator = starlark.Evaluator(
            self._resolve,
            ambient=[(known.prelude, prelude.AMBIENT)],
            budget=budget,
            calls=self._calls,
        )
        self._unit: starlark.Unit | None = None
        self.size = 0
        """Characters of what was built, as JSON."""

    def open(self) -> starlark.Unit:
        """Evaluate the module's own file and what it loads. Raises Failed."""
        token = _TOLD.set(self.told)
        try:
            self._unit = self._evaluator.open(starlark.Text(self._entry, self._texts[self._entry]))
            return self._unit
        finally:
            _TOLD.reset(token)

    def values(self) -> Any:
        """Return what the module's `Values` describes, as data whose places are `file:line`; None where there are none."""
        assert self._unit is not None
        if not self._unit.has("Values"):
            return None
        try:
            tree = orjson.loads(self._run("json.encode(Values)"))
        except starlark.Failed as failed:
            if "serialize" not in failed.message:
                raise
            lines = self._texts[self._entry].splitlines()
            line = next((number for number, text in enumerate(lines, 1) if text.startswith("Values")), 0)
            raise starlark.Failed(
                "`Values` is, or holds, something that describes no values: write `Values = group(replicas = integer(2), ...)`",
                reason="error",
                file=self._entry,
                line=line,
                column=1,
            ) from failed
        self._place(tree)
        return tree

    def build(self, context: Mapping[str, Any], values: Mapping[str, Any], tree: Any) -> list[dict[str, Any]]:
        """Run `build` and return its stages as plain data. Raises Failed; mistakes that were told are in `told`."""
        assert self._unit is not None
        self._unit.say("_fairlead_context", context)
        self._unit.say(
            "_fairlead_values", {"values": values, "tree": tree or {"type": "group", "fields": {}}}
        )
        text = str(
            self._run(
                'load("@fairlead/prelude", _fairlead_built = "built")\n'
                f'load({json.dumps(self.custom_types.name)}, _fairlead_types = "TYPES", _fairlead_kinds = "KINDS")\n'
                '_fairlead_out = _fairlead_built(build, _fairlead_context, _fairlead_values["values"], _fairlead_values["tree"],'
                " _fairlead_types, _fairlead_kinds)\n_fairlead_out.stages",
                [self._known.prelude, self.custom_types],
            )
        )
        self.size = len(text)
        found: list[dict[str, Any]] = orjson.loads(text)
        return found

    def stack(self, number: int) -> str:
        """Return the calls that made an object, by its number among all that were built."""
        return str(self._run(f"_fairlead_out.places[{number}]"))

    def _run(self, text: str, loads: Iterable[starlark.Library] = ()) -> Any:
        assert self._unit is not None
        token = _TOLD.set(self.told)
        try:
            return self._unit.run("@fairlead/run", text, loads)
        finally:
            _TOLD.reset(token)

    def _place(self, tree: Any) -> None:
        """Turn the call stacks of a description into `file:line`."""
        if not isinstance(tree, dict):
            return
        stack = tree.get("where")
        if isinstance(stack, str) and "\n" in stack:
            own = [frame for frame in starlark.frames(stack) if not frame.file.startswith(OURS)]
            tree["where"] = f"{own[-1].file}:{own[-1].line}" if own else ""
        fields = tree.get("fields")
        for inner in [*(fields.values() if isinstance(fields, dict) else ()), tree.get("of")]:
            self._place(inner)

    def _calls(self, file: str) -> Mapping[str, Callable[..., Any]]:
        root = _root(file)

        def read(path: str) -> str:
            if not isinstance(path, str):
                raise TypeError('file() wants a path, such as file("README.md")')
            data = self._files.get(starlark.beside(path, f"{root}_"))
            if data is None:
                names = [name.removeprefix(root) for name in self._files if name.startswith(root)]
                near = building_texts.nearest(path, names)
                raise ValueError(
                    f"the package has no file {path}" + (f"; did you mean {near}?" if near else "")
                )
            return _text(data)

        def glob(pattern: str) -> dict[str, str]:
            if not isinstance(pattern, str):
                raise TypeError('files() wants a pattern, such as files("conf/*.ini")')
            return {
                name.rpartition("/")[2]: _text(data)
                for name, data in sorted(self._files.items())
                if name.startswith(root) and fnmatch.fnmatchcase(name.removeprefix(root), pattern)
            }

        def say(*words: Any) -> None:
            if len(self.told.notes) >= MOST_NOTES:
                raise ValueError(f"more than {MOST_NOTES} lines are printed")
            self.told.notes.append(" ".join(map(str, words))[:2000])

        return {"file": read, "files": glob, "print": say}

    def _resolve(self, path: str, importer: str, symbols: Iterable[str]) -> starlark.Library | starlark.Text:
        if path.startswith("@kubernetes/"):
            return self._kubernetes(path, symbols)
        if path.startswith("@crd/"):
            return self._crd(path, symbols)
        if path.startswith("@"):
            name, _, inner = path[1:].partition("/")
            folder = self._dependencies.get(name)
            if folder is None:
                near = building_texts.nearest(name, [*self._dependencies, "kubernetes", "crd"])
                raise ValueError(
                    f'there is no dependency named "{name}"'
                    + (
                        f'; did you mean "@{near}/{inner}"?'
                        if near
                        else "; module.yaml has none of that name"
                    )
                )
            file = starlark.beside(inner or "library.star", f"{folder}/_")
        else:
            root = _root(importer)
            file = starlark.beside(path, importer)
            if not file.startswith(root):
                raise ValueError(f'"{path}" leads out of the package')
        text = self._texts.get(file)
        if text is None:
            near = building_texts.nearest(file, self._texts)
            raise ValueError(f'there is no file "{file}"' + (f'; did you mean "{near}"?' if near else ""))
        return starlark.Text(file, text)

    def _kubernetes(self, path: str, symbols: Iterable[str]) -> starlark.Library:
        place = path.removeprefix("@kubernetes/")
        types = self._known.groups.get(place) or self._known.groups.get(f"core/{place}")
        if types is None:
            near = building_texts.nearest(place, self._known.groups)
            raise ValueError(
                f'Kubernetes has no "{place}"' + (f'; did you mean "@kubernetes/{near}"?' if near else "")
            )
        shared = {
            **self._known.groups["meta/v1"],
            **types,
        }  # ObjectMeta and LabelSelector belong to every group
        return self._known.library(path, tuple(self._named(path, shared, symbols, self._known.groups)))

    def _crd(self, path: str, symbols: Iterable[str]) -> starlark.Library:
        place = path.removeprefix("@crd/")
        types = self._custom.get(place)
        if types is None:
            have = ", ".join(sorted(self._custom)) or "none"
            raise ValueError(
                f'the package has no definition of "{place}" (it has {have}); add it with: fairlead mod vendor crd'
            )
        return _constructors(path, self._named(path, types, symbols, self._custom), self.custom_types)

    @staticmethod
    def _named(
        path: str,
        types: Mapping[str, str],
        symbols: Iterable[str],
        everywhere: Mapping[str, Mapping[str, str]],
    ) -> list[tuple[str, str]]:
        out = []
        for symbol in symbols:
            if symbol not in types:
                others = [place for place, known in everywhere.items() if symbol in known]
                near = building_texts.nearest(symbol, types)
                hint = (
                    f'; did you mean "{near}"?'
                    if near
                    else f'; "{path.split("/", maxsplit=1)[0]}/{min(others, key=_newest)}" has it'
                    if others
                    else ""
                )
                raise ValueError(f'{path} has no "{symbol}"{hint}')
            out.append((symbol, types[symbol]))
        return out


def _newest(place: str) -> tuple[bool, int, str]:
    """Order places so that a stable version of a short group comes first."""
    return ("alpha" in place or "beta" in place, len(place), place)


def _root(file: str) -> str:
    """Return the folder of the package that a file belongs to: "" or `vendor/name/`."""
    parts = file.split("/")
    return f"vendor/{parts[1]}/" if len(parts) > 2 and parts[0] == "vendor" else ""


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ValueError("a file that is no text (UTF-8) cannot be read here") from None
