"""Templates of many files together, and what runs them: `include`, `tpl`, `required`, `fail`, `lookup`.

A definition of a later file replaces that of an earlier one. Must never let one run change what another one sees.
Source: helm.sh/helm/v3/pkg/engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from fairlead.tongues.gotemplate.addresses import ADDRESSES
from fairlead.tongues.gotemplate.collecting import COLLECTING
from fairlead.tongues.gotemplate.comparing import COMPARING
from fairlead.tongues.gotemplate.compiling import Compiled
from fairlead.tongues.gotemplate.crypto import CRYPTO
from fairlead.tongues.gotemplate.dates import DATES
from fairlead.tongues.gotemplate.encoding import ENCODING
from fairlead.tongues.gotemplate.kinds import Function, GoError
from fairlead.tongues.gotemplate.numbers import NUMBERS
from fairlead.tongues.gotemplate.parsing import ParseError, parse
from fairlead.tongues.gotemplate.printing import quoted
from fairlead.tongues.gotemplate.semvers import SEMVERS
from fairlead.tongues.gotemplate.states import DEEPEST, Budget, ExecError, Lookup, State
from fairlead.tongues.gotemplate.texts import TEXTS

WARNING: Final = ("HELM_ERR_START", "HELM_ERR_END")
"""What stands around a message of `required` and `fail`, which is shown without the way that led there."""
OWN: Final = "gotpl"
"""What a text is called that `tpl` runs."""
LARGEST: Final = 4_000_000
"""Letters that a text may have that is compiled."""


def _warned(message: str) -> GoError:
    return GoError(f"{WARNING[0]}{message}{WARNING[1]}")


def _include(state: State, name: str, data: Any) -> str:
    count = state.included.get(name, 0)
    if count > DEEPEST:
        raise GoError(f"rendering template has a nested reference name: {name}: unable to execute template")
    found = state.find(name)
    if found is None:
        raise GoError(f"template: no template {quoted(name)} associated with template {quoted(OWN)}")
    state.included[name] = count + 1
    state.enter()
    parts: list[str] = []
    try:
        found.run(state, data, parts.append)
    except ExecError as fault:
        raise GoError(str(fault)) from None
    finally:
        state.included[name] = count
        state.leave()
    text = "".join(parts)
    state.charge(len(text))
    return text


def _tpl(state: State, text: str, data: Any) -> str:
    state.charge(len(text))
    if "{{" not in text:
        return text.replace("<no value>", "")
    if len(text) > LARGEST:
        raise GoError(f"cannot parse template: more than {LARGEST} letters")
    try:
        own = _compiled(OWN, text)
    except ParseError as fault:
        raise GoError(f"cannot parse template {quoted(text)}: {fault}") from None
    outer = state.templates
    state.templates = _joined(outer, own)
    state.enter()
    parts: list[str] = []
    try:
        own[OWN].run(state, data, parts.append)
    except ExecError as fault:
        raise GoError(f"error during tpl function execution for {quoted(text)}: {fault}") from None
    finally:
        state.templates = outer
        state.leave()
    made = "".join(parts)
    state.charge(len(made))
    return made.replace("<no value>", "")


def _joined(outer: Mapping[str, Compiled], own: Mapping[str, Compiled]) -> Mapping[str, Compiled]:
    """The templates that are seen from within a text of `tpl`: those around it, under its own."""
    fresh = {name: made for name, made in own.items() if name not in outer or not made.tree.empty()}
    return {**outer, **fresh} if fresh.keys() - {OWN} or OWN not in outer else {**outer, OWN: own[OWN]}


def _required(warning: str, value: Any) -> Any:
    if value is None or (type(value) is str and not value):
        raise _warned(warning)
    return value


def _fail(message: str) -> str:
    raise _warned(message)


def _lookup(state: State, version: str, kind: str, namespace: str, name: str) -> Any:
    if state.lookup is None:
        return {}
    return state.lookup(version, kind, namespace, name)


FUNCTIONS: Final[Mapping[str, Function]] = {
    **COMPARING,
    **TEXTS,
    **NUMBERS,
    **COLLECTING,
    **ENCODING,
    **DATES,
    **ADDRESSES,
    **SEMVERS,
    **CRYPTO,
    "fail": Function(_fail, "s"),
    "include": Function(_include, "sa", state=True),
    "lookup": Function(_lookup, "ssss", state=True),
    "required": Function(_required, "sa"),
    "tpl": Function(_tpl, "sa", state=True),
}
"""Every function that a chart's templates may call."""


@lru_cache(maxsize=4096)
def _compiled(name: str, text: str) -> Mapping[str, Compiled]:
    """The templates of one text. Raises ParseError."""
    try:
        return {key: Compiled(tree, FUNCTIONS) for key, tree in parse(name, text, FUNCTIONS).items()}
    except RecursionError:
        raise ParseError(f"template: {name}:1: max expression depth exceeded") from None


@dataclass(frozen=True, slots=True)
class Templates:
    """Templates by name, those of files and those that are defined in them."""

    compiled: Mapping[str, Compiled]

    @classmethod
    def of(cls, files: Mapping[str, str]) -> Templates:
        """Compile the texts of files, in their order. Raises ParseError for the first that is no template."""
        together: dict[str, Compiled] = {}
        for name, text in files.items():
            if len(text) > LARGEST:
                raise ParseError(f"template: {name}:1: more than {LARGEST} letters")
            for key, made in _compiled(name, text).items():
                if key not in together or not made.tree.empty():
                    together[key] = made
        return cls(together)

    def state(
        self,
        *,
        moment: int | None = 0,
        seed: bytes | None = b"",
        lookup: Lookup | None = None,
        budget: Budget | None = None,
    ) -> State:
        """Return what one rendering shares over all its files: the budget, the moment in nanoseconds, the seed of randomness.

        With None for either, a template that wants it raises Wanting.
        """
        return State(self.compiled, budget or Budget(), moment, seed, lookup)

    def run(self, name: str, data: Any, state: State) -> str:
        """Return what the template writes for the data. Raises ExecError and Exhausted."""
        found = self.compiled.get(name)
        if found is None:
            raise ExecError(f"template: no template {quoted(name)} associated with template {quoted(OWN)}")
        parts: list[str] = []
        try:
            found.run(state, data, parts.append)
        except RecursionError:
            raise ExecError(
                f"template: {name}: rendering templates are nested too deeply: unable to execute template"
            ) from None
        text = "".join(parts)
        state.charge(len(text))
        return text.replace("<no value>", "")
