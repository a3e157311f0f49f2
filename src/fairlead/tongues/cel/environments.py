"""What an expression is compiled in, and what comes of it: an Environment and a Program.

Both are immutable and may be used by many at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from fairlead.tongues.cel import types as t
from fairlead.tongues.cel import wellknown
from fairlead.tongues.cel.checking import Checker, World
from fairlead.tongues.cel.costs import Meter
from fairlead.tongues.cel.errors import BadExpression, Failed, TooCostly, show
from fairlead.tongues.cel.lexing import Fault
from fairlead.tongues.cel.libraries import Function, Library, Maker, declared
from fairlead.tongues.cel.macros import STANDARD as STANDARD_MACROS
from fairlead.tongues.cel.macros import Key, Macro
from fairlead.tongues.cel.parsing import DEEPEST, parse
from fairlead.tongues.cel.standard import STANDARD
from fairlead.tongues.cel.syntax import Node
from fairlead.tongues.cel.types import Type
from fairlead.tongues.cel.walking import Costs, Walker
from fairlead.tongues.cel.writing import ERRORS, Writer, static_cost

_STUMBLES = 3
"""After how many errors an expression is written anew."""
_HOPELESS = 10
"""After how many errors in a row an expression is evaluated carefully at once, until it gives a value again."""
_ALWAYS = (STANDARD, wellknown.LIBRARY)


class Program:
    """A compiled expression.

    `type` is the type of its result as far as it is known, `names` are the variables that it uses.
    """

    __slots__ = (
        "_careful",
        "_counted",
        "_environment",
        "_errors",
        "_parts",
        "_plain",
        "_static",
        "_stumbles",
        "_tree",
        "names",
        "text",
        "type",
    )

    def __init__(self, environment: Environment, text: str, tree: Node, names: frozenset[str]) -> None:
        self.text = text
        self.type: Type = tree.type
        self.names = names
        self._environment = environment
        self._tree = tree
        self._static = static_cost(tree)
        self._plain: Callable[..., Any] | None = None
        self._counted: Callable[..., Any] | None = None
        self._stumbles = self._errors = 0
        self._careful: Callable[..., Any] | None = None
        self._parts: tuple[Walker, dict[int, Callable[..., Any]]] | None = None

    def __repr__(self) -> str:
        return f"<cel {self.text}>"

    @property
    def tree(self) -> Node:
        """The checked tree, which must not be changed."""
        return self._tree

    def parts(self) -> tuple[Walker, dict[int, Callable[..., Any]]]:
        """Return what makes steps of the tree's parts, and those that were made, by the identity of their nodes."""
        if self._parts is None:
            self._parts = (Walker(self._environment.world.functions, self._environment.costs), {})
        return self._parts

    def __call__(self, bindings: Mapping[str, Any], budget: int | None = None) -> Any:
        """Evaluate for the bindings, whose values may be Lazy. Raises Failed, or TooCostly beyond the budget."""
        if budget is not None:
            return self.metered(bindings, Meter(budget))
        try:
            return (self._plain or self._write(counted=False))(bindings, None)
        except TooCostly:
            raise
        except ERRORS:
            self._stumbled()
            return self._carefully(bindings, Meter(float("inf")))

    def metered(self, bindings: Mapping[str, Any], meter: Meter) -> Any:
        """Evaluate on a budget that several expressions share."""
        if (
            self._errors >= _HOPELESS
        ):  # what asks for an object that is not there fails for every subject: fail once each
            return self._carefully(bindings, meter)
        left = meter.left
        try:
            meter.spend(self._static)
            return (self._counted or self._write(counted=True))(bindings, meter)
        except ERRORS:
            if meter.left < 0 and left > 100 * self._static:
                raise
            meter.left = left
            self._stumbled()
            return self._carefully(bindings, meter)

    def _stumbled(self) -> None:
        """Have the sources written anew, guarded, when they gave up a few times."""
        self._stumbles += 1
        if self._stumbles == _STUMBLES:
            self._plain = self._counted = None

    def _write(self, *, counted: bool) -> Callable[..., Any]:
        world, guarded = self._environment.world, self._stumbles >= _STUMBLES
        writer = Writer(world.functions, self._environment.costs, counted=counted, guarded=guarded)
        run = writer.whole(self._tree)
        if counted:
            self._counted = run
        else:
            self._plain = run
        return run

    def _carefully(self, bindings: Mapping[str, Any], meter: Meter) -> Any:
        if self._careful is None:
            self._careful = Walker(self._environment.world.functions, self._environment.costs).whole(
                self._tree
            )
        self._errors += 1
        made = self._careful(bindings, meter)
        self._errors = 0
        return made


class Environment:
    """The variables and libraries that expressions may use.

    `variables` are names (of type dyn), or a mapping of names to types: a Type, or its text such as `map(string, int)`. A
    `container` is a prefix that names may leave out.
    """

    __slots__ = ("_libraries", "_macros", "_variables", "container", "costs", "world")

    def __init__(
        self,
        variables: Iterable[str] | Mapping[str, Type | str] = (),
        libraries: Sequence[Library] = (),
        container: str = "",
    ) -> None:
        self._variables = _typed(variables)
        self._libraries = (*_ALWAYS, *(one for one in libraries if one not in _ALWAYS))
        self.container = container
        found = _merged(self._libraries)
        self._macros = found.macros
        self.costs: Costs = found.costs
        self.world = World(
            {**found.variables, **self._variables},
            found.constants,
            found.functions,
            found.maker,
            container,
            homogeneous=found.homogeneous,
        )

    def extend(
        self, variables: Iterable[str] | Mapping[str, Type | str] = (), libraries: Sequence[Library] = ()
    ) -> Environment:
        """Return an Environment with more variables and libraries; a name given again is replaced."""
        if not libraries:
            return self._with(_typed(variables))
        return Environment(
            {**self._variables, **_typed(variables)}, (*self._libraries, *libraries), self.container
        )

    def _with(self, variables: dict[str, Type]) -> Environment:
        """Return the same with more variables, at no cost but theirs."""
        made: Environment = object.__new__(Environment)
        world = self.world
        made._variables = {**self._variables, **variables}
        made._libraries, made._macros = self._libraries, self._macros
        made.container, made.costs = self.container, self.costs
        made.world = World(
            {**world.variables, **variables},
            world.constants,
            world.functions,
            world.makers,
            world.container,
            homogeneous=world.homogeneous,
        )
        return made

    def compile(self, text: str, *, check: bool = True) -> Program:
        """Return the program of an expression. Raises BadExpression; without `check` only for what cannot be read."""
        try:
            tree = parse(text, self._macros)
            checker = Checker(self.world, strict=check)
            tree = checker.whole(tree)
            if checker.faults:
                raise show(text, checker.faults)
            return Program(self, text, tree, frozenset(checker.names))
        except Fault as fault:
            raise show(text, [(fault.message, fault.pos)]) from None
        except RecursionError:
            raise show(text, [(f"expression recursion limit exceeded: {DEEPEST}", 0)]) from None


class _Merged(NamedTuple):
    """What several libraries give together."""

    functions: dict[str, Function]
    constants: dict[str, Any]
    macros: dict[Key, Macro]
    variables: dict[str, Type]
    costs: dict[str, Callable[..., int]]
    maker: Callable[[str], Maker | None]
    homogeneous: bool


@lru_cache(maxsize=64)
def _merged(libraries: tuple[Library, ...]) -> _Merged:
    makers = [one.makers for one in reversed(libraries) if one.makers is not None]

    def maker(name: str) -> Maker | None:
        for one in makers:
            found = one(name)
            if found is not None:
                return found
        return None

    return _Merged(
        functions=declared(libraries),
        constants={name: value for one in libraries for name, value in one.constants.items()},
        macros={**STANDARD_MACROS, **{key: macro for one in libraries for key, macro in one.macros.items()}},
        variables={name: kind for one in libraries for name, kind in one.variables.items()},
        costs={name: cost for one in libraries for name, cost in one.costs.items()},
        maker=maker,
        homogeneous=any(one.homogeneous for one in libraries),
    )


def _typed(variables: Iterable[str] | Mapping[str, Type | str]) -> dict[str, Type]:
    if isinstance(variables, Mapping):
        return {name: t.read(kind) if isinstance(kind, str) else kind for name, kind in variables.items()}
    return dict.fromkeys(variables, t.DYN)


__all__ = ["BadExpression", "Environment", "Failed", "Program", "TooCostly"]
