"""How compiled templates call functions: the number and types of arguments, and what goes wrong.

What can be told from a function's signature is decided once, when a template is compiled. Must never hide an error of a function.
Source: go.dev/pkg/text/template.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from fairlead.tongues.gotemplate import fields
from fairlead.tongues.gotemplate.kinds import LETTERS, Function, GoError, type_name
from fairlead.tongues.gotemplate.states import ExecError

Expression: TypeAlias = Callable[[Any, list[Any]], Any]
"""(cursor, frame) -> value"""
Failing: TypeAlias = Callable[[str], ExecError]
"""Makes the error for a message at some node."""
MISTAKES: Final = (GoError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError)
"""What a function may raise; other than GoError it is one that did not expect such an argument."""


def letter_of(function: Function, place: int) -> str:
    """Return the letter of the type that an argument at this place has."""
    return function.params[place] if place < len(function.params) else function.rest or "a"


def miscounted(function: Function, name: str, count: int, written: int) -> str:
    """Return what is wrong with the number of arguments, or nothing."""
    fixed = len(function.params)
    if function.rest:
        if count < fixed:
            return f"wrong number of args for {name}: want at least {fixed} got {written}"
    elif count != fixed:
        return f"wrong number of args for {name}: want {fixed} got {count}"
    return ""


def counted(function: Function, name: str, count: int, written: int, failing: Failing) -> None:
    """Raise what is wrong with the number of arguments, if anything is."""
    wrong = miscounted(function, name, count, written)
    if wrong:
        raise failing(wrong)


def checking(value: Expression, letter: str, failing: Failing, nil: str) -> Expression:
    """Return the expression with its value held against the type of a parameter."""
    if letter == "s":

        def text(dot: Any, frame: list[Any]) -> Any:
            found = value(dot, frame)
            return found if type(found) is str else checked(found, "s", failing, nil)

        return text

    return lambda dot, frame: checked(value(dot, frame), letter, failing, nil)


def checked(value: Any, letter: str, failing: Failing, nil: str) -> Any:
    """Return the value as a parameter of that type takes it; raises what Go says where it does not fit."""
    if fields.fits(value, letter):
        return value
    wanted = LETTERS[letter]
    if value is None:
        if nil == "invalid":
            if letter in "avmlzSBV":
                return fields.nil_of(letter)
            raise failing(f"invalid value; expected {wanted}")
        raise failing(f"wrong type for value; expected {wanted}; got interface {{}}")
    raise failing(f"wrong type for value; expected {wanted}; got {type_name(value)}")


def calling(
    function: Function,
    name: str,
    args: list[Expression],
    final: Expression | None,
    failing: Failing,
) -> Expression:
    """The call of a function, by how many arguments there are: most have one or two."""
    run = function.run

    if function.state:
        everything = tuple(args)

        def stated(dot: Any, frame: list[Any]) -> Any:
            last = final(dot, frame) if final is not None else None
            given = [frame[0], *[arg(dot, frame) for arg in everything]]
            if final is not None:
                given.append(last)
            try:
                return run(*given)
            except MISTAKES as fault:
                raise failing(f"error calling {name}: {fault}") from None

        return stated
    if len(args) == 1 and final is None:
        only = args[0]

        def one(dot: Any, frame: list[Any]) -> Any:
            found = only(dot, frame)
            try:
                return run(found)
            except MISTAKES as fault:
                raise failing(f"error calling {name}: {fault}") from None

        return one
    if not args and final is not None:
        piped = final

        def fed(dot: Any, frame: list[Any]) -> Any:
            found = piped(dot, frame)
            try:
                return run(found)
            except MISTAKES as fault:
                raise failing(f"error calling {name}: {fault}") from None

        return fed
    if len(args) == 2 and final is None:
        left, right = args

        def two(dot: Any, frame: list[Any]) -> Any:
            first, second = left(dot, frame), right(dot, frame)
            try:
                return run(first, second)
            except MISTAKES as fault:
                raise failing(f"error calling {name}: {fault}") from None

        return two
    if len(args) == 1 and final is not None:
        front, behind = args[0], final

        def both(dot: Any, frame: list[Any]) -> Any:
            second = behind(dot, frame)
            first = front(dot, frame)
            try:
                return run(first, second)
            except MISTAKES as fault:
                raise failing(f"error calling {name}: {fault}") from None

        return both
    every = tuple(args)

    def many(dot: Any, frame: list[Any]) -> Any:
        last = final(dot, frame) if final is not None else None
        given = [arg(dot, frame) for arg in every]
        if final is not None:
            given.append(last)
        try:
            return run(*given)
        except MISTAKES as fault:
            raise failing(f"error calling {name}: {fault}") from None

    return many


def calls(written: str) -> Callable[..., Any]:
    """The function `call`: no value that a chart has can be called."""

    def call(value: Any, *_: Any) -> Any:
        if value is None:
            raise GoError("call of nil")
        raise GoError(f"non-function {written} of type {type_name(value)}")

    return call
