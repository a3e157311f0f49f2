"""Starlark: Python's syntax without the outside. Text -> a module that can be asked for values and told to run.

What is evaluated sees no clock, file, network, environment or random number; it may load only what `resolve` gives it. It has a budget
of steps, which are counted, so that what runs out of it does so on every machine, and of nested calls. It has no budget of memory:
whoever evaluates what others wrote does it in a process with a limit (drivers/rendering).
Must never let an exception of the evaluator through: what goes wrong is `Failed`, with its place, the line and the calls that led there.
Source: the Starlark specification; the extensions of starlark-rust (f-strings, type annotations, keyword-only parameters).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import starlark

Reason: TypeAlias = Literal["syntax", "load", "error", "steps", "depth"]
"""What stopped an evaluation: text that does not parse, a `load` of what is not there, an error, or a budget."""

LARGEST_FILE: Final = 1 << 20
"""Bytes of one file. Nobody writes more by hand, and parsing takes a multiple of it."""
MOST_FILES: Final = 500

_L = starlark.LibraryExtension
_GLOBALS: Final = starlark.Globals.extended_by(
    [
        _L.StructType,
        _L.RecordType,
        _L.EnumType,
        _L.Map,
        _L.Filter,
        _L.Partial,
        _L.Json,
        _L.Typing,
        _L.CallStack,
    ]
)
_DIALECT: Final = starlark.Dialect.extended()
_DIALECT.enable_f_strings = True
_DIALECT.enable_positional_only_arguments = True
_DIALECT.enable_types = starlark.DialectTypes.ENABLE
_DIALECT.enable_load_reexport = False

STEPS_BETWEEN: Final = 1000
"""How many steps the evaluator takes before it asks whether to go on."""
_CANCELLED = "Evaluation cancelled"
_OVERFLOW = "Starlark call stack overflow"
_PLACE = re.compile(r"^ *--> (.+):([0-9]+):([0-9]+)$", re.MULTILINE)
_FRAME = re.compile(r"^  \* (.+):([0-9]+), in (.+)\n(?:      (.*)(?:\n|$))?", re.MULTILINE)
_PREFIX = re.compile(r"\A(?:Parse error|ValueError|TypeError|fail): ")
_MESSAGE = re.compile(r"^error: (.*)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Frame:
    """One call on the way: the file and line that call, the function that the line is in, and the line's text."""

    file: str
    line: int
    function: str
    text: str = ""


class Failed(Exception):
    """An evaluation that did not end well: what is wrong, where, and the calls that led there, outermost first."""

    def __init__(
        self,
        message: str,
        *,
        reason: Reason = "error",
        file: str = "",
        line: int = 0,
        column: int = 0,
        trail: tuple[Frame, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message, self.reason = message, reason
        self.file, self.line, self.column = file, line, column
        self.trail = trail


@dataclass(slots=True)
class Budget:
    """What an evaluation may use: steps (counted by the thousand), nested calls, and as long as `cancelled` says no."""

    steps: int = 100_000_000
    depth: int = 500
    cancelled: Callable[[], bool] | None = None
    _asked: int = field(default=0, init=False)

    def spent(self) -> bool:
        """Whether to stop now; called by the evaluator every thousand steps."""
        self._asked += 1
        return self._asked * STEPS_BETWEEN > self.steps or (self.cancelled is not None and self.cancelled())


@dataclass(frozen=True, slots=True)
class Library:
    """A module that has been evaluated and cannot change any more. May be shared between evaluations, and outlives them."""

    name: str
    frozen: starlark.FrozenModule


@dataclass(frozen=True, slots=True)
class Text:
    """A file to be evaluated: the name that messages call it by, and what is in it."""

    name: str
    text: str


Resolve: TypeAlias = Callable[[str, str, Iterable[str]], "Library | Text"]
"""What `load(path, symbols...)` in a file means: (path, the file that says so, symbols) -> what it loads.

Raises ValueError with what is wrong. Two texts of the same name are the same file.
"""


def library(
    name: str, text: str, calls: Mapping[str, Callable[..., Any]] | None = None, loads: Iterable[Library] = ()
) -> Library:
    """Return our own Starlark code, evaluated without a budget; it may call these Python functions. Raises Failed."""
    module = starlark.Module()
    for symbol, call in (calls or {}).items():
        module.add_callable(symbol, call)
    known = {item.name: item.frozen for item in loads}
    try:
        starlark.eval(
            module,
            starlark.parse(name, text, _DIALECT),
            _GLOBALS,
            starlark.FileLoader(lambda path: known[path]),
        )
    except starlark.StarlarkError as error:
        raise _failed(str(error), name) from None
    return Library(name, module.freeze())


class Unit:
    """A file that has been evaluated and can still be asked: for the values of its names, or to evaluate more text in its place."""

    def __init__(self, module: starlark.Module, budget: Budget, loaded: Iterable[str] = ()) -> None:
        self._module, self._budget = module, budget
        self._loaded = frozenset(loaded)

    def has(self, name: str) -> bool:
        """Whether the file gives the name a value, or loads it."""
        if name in self._loaded:
            return True
        try:
            return self._module[name] is not None
        except starlark.StarlarkError:
            return True  # a value that has no JSON, such as a function
        except KeyError:
            return False

    def say(self, name: str, value: Any) -> None:
        """Give a name a value: what JSON can say."""
        self._module[name] = value

    def run(self, name: str, text: str, loads: Iterable[Library] = ()) -> Any:
        """Evaluate our own text after the file's, with its names, and return the last expression's value as JSON data. Raises Failed."""
        known = {item.name: item.frozen for item in loads}
        return _evaluated(self._module, starlark_parse(name, text), known, self._budget, name)


class Evaluator:
    """Evaluates one package: its files and what they load, each once, on one budget.

    `ambient` is what every file sees without a load: libraries, and the names that are taken from each. `calls` gives a file of that name
    Python functions; they get and return what JSON can say, and raise ValueError.
    """

    def __init__(
        self,
        resolve: Resolve,
        *,
        ambient: Iterable[tuple[Library, Iterable[str]]] = (),
        calls: Callable[[str], Mapping[str, Callable[..., Any]]] | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._calls = calls
        self.budget = budget or Budget()
        self._resolve = resolve
        self._ambient = [(item, tuple(names)) for item, names in ambient]
        self._libraries = {item.name: item.frozen for item, _ in self._ambient}
        self._done: dict[str, starlark.FrozenModule] = {}
        self._opening: list[str] = []
        load = "".join(
            f"load({_quote(item.name)}, {', '.join(map(_quote, names))})\n" for item, names in self._ambient
        )
        self._boot = starlark_parse("@ambient", load) if load else None

    def open(self, source: Text) -> Unit:
        """Evaluate a file and all that it loads. Raises Failed."""
        module = self._module(source)
        loads = starlark_parse(source.name, source.text).loads()
        return Unit(module, self.budget, [name for load in loads for name in load.symbols])

    def _module(self, source: Text) -> starlark.Module:
        if len(source.text) > LARGEST_FILE:
            raise Failed(
                f"the file has {len(source.text)} characters, more than the {LARGEST_FILE} that are allowed",
                reason="syntax",
                file=source.name,
            )
        if len(self._done) + len(self._opening) > MOST_FILES:
            raise Failed(f"more than {MOST_FILES} files are loaded", reason="load", file=source.name)
        tree = starlark_parse(source.name, source.text)
        known: dict[str, starlark.FrozenModule] = {}
        self._opening.append(source.name)
        wanted: dict[str, set[str]] = {}
        for load in tree.loads():
            wanted.setdefault(load.module_id, set()).update(load.symbols.values())
        for path in sorted(wanted):
            known[path] = self._load(path, source, wanted[path])
        self._opening.pop()
        module = starlark.Module()
        if self._boot is not None:
            starlark.eval(module, self._boot, _GLOBALS, starlark.FileLoader(self._libraries.__getitem__))
        for symbol, call in (self._calls(source.name) if self._calls is not None else {}).items():
            module.add_callable(symbol, call)
        _evaluated(module, tree, known, self.budget, source.name)
        return module

    def _load(self, path: str, source: Text, symbols: Iterable[str]) -> starlark.FrozenModule:
        try:
            found = self._resolve(path, source.name, sorted(symbols))
        except ValueError as error:
            line, column = _line_of(source.text, path)
            raise Failed(str(error), reason="load", file=source.name, line=line, column=column) from None
        if isinstance(found, Library):
            return found.frozen
        if found.name in self._opening:
            line, column = _line_of(source.text, path)
            circle = " loads ".join([*self._opening[self._opening.index(found.name) :], found.name])
            raise Failed(
                f"files load each other in a circle: {circle}",
                reason="load",
                file=source.name,
                line=line,
                column=column,
            )
        done = self._done.get(found.name)
        if done is None:
            done = self._done[found.name] = self._module(found).freeze()
        return done


def beside(path: str, importer: str) -> str:
    """Return the name of the file that a relative `load` path means: beside the file that loads it. Raises ValueError."""
    parts = importer.split("/")[:-1]
    for part in path.split("/"):
        if part == "..":
            if not parts:
                raise ValueError(f'"{path}" leads out of the package')
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)


def starlark_parse(name: str, text: str) -> starlark.AstModule:
    """Return the syntax tree of a file. Raises Failed."""
    try:
        return starlark.parse(name, text, _DIALECT)
    except starlark.StarlarkError as error:
        raise _failed(str(error), name, "syntax") from None


@dataclass(frozen=True, slots=True)
class Advice:
    """What a linter says of a file: a short name of the rule, the problem, and the place."""

    rule: str
    message: str
    file: str
    line: int
    column: int


def advice(name: str, text: str) -> list[Advice]:
    """Return what can be said of a file without evaluating it. Raises Failed where it does not parse."""
    return [
        Advice(
            lint.short_name,
            lint.problem,
            name,
            lint.resolved_location.span.begin.line + 1,
            lint.resolved_location.span.begin.column + 1,
        )
        for lint in starlark_parse(name, text).lint()
    ]


def frames(text: str) -> tuple[Frame, ...]:
    """Return the calls that a call stack, or the head of an error, tells of; outermost first."""
    return tuple(
        Frame(file, int(line), function, (source or "").strip())
        for file, line, function, source in _FRAME.findall(text)
    )


def _evaluated(
    module: starlark.Module,
    tree: starlark.AstModule,
    known: Mapping[str, starlark.FrozenModule],
    budget: Budget,
    name: str,
) -> Any:
    options = starlark.EvalOptions(check_cancelled=budget.spent, max_callstack_size=budget.depth)
    try:
        return starlark.eval_with(
            options, module, tree, _GLOBALS, file_loader=starlark.FileLoader(known.__getitem__)
        ).value
    except starlark.StarlarkError as error:
        raise _failed(str(error), name, budget=budget) from None


def _failed(text: str, name: str, reason: Reason = "error", budget: Budget | None = None) -> Failed:
    """Read the evaluator's error text: calls, message, and place."""
    places = list(_PLACE.finditer(text))
    place = places[-1] if places else None
    found = _MESSAGE.search(text)
    end = place.start() if place is not None else len(text)
    message = text[found.start(1) : end].strip() if found else text[:end].strip()
    head = text[: found.start()] if found else ""
    if message == _CANCELLED:
        reason = "steps"
        most = f"{budget.steps} steps" if budget is not None else "the steps that it may take"
        message = f"the evaluation does not end within {most}: is there an endless loop?"
    elif message == _OVERFLOW:
        reason = "depth"
        most = f"{budget.depth} deep" if budget is not None else "too deep"
        message = (
            f"calls are nested more than {most}: does a function call itself, or a value contain itself?"
        )
    else:
        message = _PREFIX.sub("", message)
    return Failed(
        message,
        reason=reason,
        file=place[1] if place else name,
        line=int(place[2]) if place else 0,
        column=int(place[3]) if place else 0,
        trail=frames(head),
    )


def _line_of(text: str, path: str) -> tuple[int, int]:
    """Return the line and column of the load of a path; loads carry no place of their own."""
    for number, line in enumerate(text.splitlines(), 1):
        for quote in ('"', "'"):
            at = line.find(f"{quote}{path}{quote}")
            if at >= 0:
                return number, at + 1
    return 0, 0


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
