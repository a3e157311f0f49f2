"""What the operators do when it is only known at run time what they are applied to.

Every function returns a value or raises Failed; none changes its operands. Overflow is an error, never a wrap.
Source: github.com/google/cel-spec, doc/langdef.md; the texts are cel-go's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from fairlead.tongues.cel import times
from fairlead.tongues.cel.errors import Failed, TooCostly, no_key, no_overload
from fairlead.tongues.cel.values import (
    INT_MAX,
    INT_MIN,
    NONE,
    UINT_MAX,
    Duration,
    Fields,
    Message,
    MixedMap,
    Optional,
    Timestamp,
    Uint,
    equal,
    find,
    holds,
    optional_index,
    type_of,
    whole,
)

BIGGEST = 1 << 26
"""How long a text, a byte string or a list may grow by addition."""
_NUMBERS = frozenset({int, float, Uint})
_PARTLESS: frozenset[type] = frozenset({type(None), bool, int, float, Uint, str, bytes, Timestamp, Duration})


def overflow() -> Failed:
    """Return the error of a whole number beyond 64 bits."""
    return Failed("integer overflow")


def fit(value: int) -> int:
    """Return an int as it is. Raises Failed beyond 64 bits."""
    if INT_MIN <= value <= INT_MAX:
        return value
    raise overflow()


def unsigned(value: int) -> Uint:
    """Return an unsigned number. Raises Failed when it is negative or beyond 64 bits."""
    if 0 <= value <= UINT_MAX:
        return Uint(value)
    raise Failed("unsigned integer overflow")


def truth(value: Any) -> bool:
    """Return a truth value as it is. Raises Failed for anything else."""
    if value is True:
        return True
    if value is False:
        return False
    raise no_overload()


def add(left: Any, right: Any) -> Any:
    """Return `left + right`."""
    a, b = left.__class__, right.__class__
    if a is b:
        if a is int:
            return fit(left + right)
        if a is float:
            return left + right
        if a is Uint:
            return unsigned(int(left) + int(right))
        if a is str or a is bytes or a is list:
            if len(left) + len(right) > BIGGEST:
                raise TooCostly("operation cancelled: a value grew too large")
            return left + right
        if a is Duration:
            return times.span(left.ns + right.ns)
    if a is Timestamp and b is Duration:
        return times.moment(left.ns + right.ns)
    if a is Duration and b is Timestamp:
        return times.moment(left.ns + right.ns)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        own = getattr(left, "cel_add", None)
        return own(right) if own is not None else add(list(left), list(right))
    raise no_overload()


def subtract(left: Any, right: Any) -> Any:
    """Return `left - right`."""
    a, b = left.__class__, right.__class__
    if a is b:
        if a is int:
            return fit(left - right)
        if a is float:
            return left - right
        if a is Uint:
            return unsigned(int(left) - int(right))
        if a is Duration or a is Timestamp:
            return times.span(left.ns - right.ns)
    if a is Timestamp and b is Duration:
        return times.moment(left.ns - right.ns)
    raise no_overload()


def multiply(left: Any, right: Any) -> Any:
    """Return `left * right`."""
    a = left.__class__
    if a is right.__class__:
        if a is int:
            return fit(left * right)
        if a is float:
            return left * right
        if a is Uint:
            return unsigned(int(left) * int(right))
    raise no_overload()


def divide(left: Any, right: Any) -> Any:
    """Return `left / right`: of whole numbers cut towards zero, of floating point ones as IEEE 754 says."""
    a = left.__class__
    if a is not right.__class__:
        raise no_overload()
    if a is float:
        if right:
            return left / right
        if math.isnan(left) or not left or math.isnan(right):
            return math.nan
        return math.copysign(math.inf, left) * math.copysign(1.0, right)
    if a is int or a is Uint:
        if not right:
            raise Failed("division by zero")
        if a is Uint:
            return Uint(int(left) // int(right))
        return fit(-(-left // right) if (left < 0) != (right < 0) else left // right)
    raise no_overload()


def modulo(left: Any, right: Any) -> Any:
    """Return `left % right`, with the sign of the left one."""
    a = left.__class__
    if a is not right.__class__ or (a is not int and a is not Uint):
        raise no_overload()
    if not right:
        raise Failed("modulus by zero")
    if a is Uint:
        return Uint(int(left) % int(right))
    if left == INT_MIN and right == -1:
        raise overflow()
    return (abs(left) % abs(right)) * (-1 if left < 0 else 1)


def negate(value: Any) -> Any:
    """Return `-value`."""
    if value.__class__ is int:
        return fit(-value)
    if value.__class__ is float:
        return -value
    if value.__class__ is Duration:
        return times.span(-value.ns)
    raise no_overload()


def invert(value: Any) -> bool:
    """Return `!value`."""
    return not truth(value)


def _comparable(left: Any, right: Any) -> bool:
    a, b = left.__class__, right.__class__
    return (a in _NUMBERS and b in _NUMBERS) or (a is b and (a in {str, bool, bytes, Timestamp, Duration}))


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    """Return two values as they compare: a whole number beside a floating point one is rounded to such a one."""
    if left.__class__ is not right.__class__ and float in {left.__class__, right.__class__}:
        return float(left), float(right)
    return left, right


def less(left: Any, right: Any) -> bool:
    """Return `left < right`."""
    if _comparable(left, right):
        left, right = _alike(left, right)
        return bool(left < right)
    raise no_overload()


def less_equal(left: Any, right: Any) -> bool:
    """Return `left <= right`."""
    if _comparable(left, right):
        left, right = _alike(left, right)
        return bool(left < right or left == right)
    raise no_overload()


def greater(left: Any, right: Any) -> bool:
    """Return `left > right`."""
    if _comparable(left, right):
        left, right = _alike(left, right)
        return bool(right < left)
    raise no_overload()


def greater_equal(left: Any, right: Any) -> bool:
    """Return `left >= right`."""
    if _comparable(left, right):
        left, right = _alike(left, right)
        return bool(right < left or left == right)
    raise no_overload()


def differ(left: Any, right: Any) -> bool:
    """Return `left != right`."""
    return not equal(left, right)


def contains(item: Any, where: Any) -> bool:
    """Return `item in where`: an item of a list or a key of a map."""
    if where.__class__ is dict or where.__class__ is Fields or isinstance(where, dict):
        return (item in where) if item.__class__ is str else _has_key(where, item)
    if isinstance(where, (list, tuple)):
        if item.__class__ is str:
            return item in where
        return any(equal(item, one) for one in where)
    raise no_overload()


def _has_key(where: Any, key: Any) -> bool:
    if key.__class__ in _NUMBERS or key.__class__ is bool:
        return find(where, key)[0]
    return False


def index(where: Any, key: Any) -> Any:
    """Return `where[key]`: the value of a map's key or the item of a list."""
    if where.__class__ is dict or where.__class__ is Fields or isinstance(where, dict):
        found, value = find(where, key)
        if not found:
            raise no_key(_shown(key))
        return value
    if where.__class__ is list or where.__class__ is tuple or isinstance(where, (list, tuple)):
        at = whole(key)
        if 0 <= at < len(where):
            return where[at]
        raise Failed(f"index out of bounds: {at}")
    if where.__class__ is Optional:
        return where[key]
    raise no_overload()


def _shown(key: Any) -> str:
    if key.__class__ is bool:
        return "true" if key else "false"
    return str(key)


def select(where: Any, name: str) -> Any:
    """Return `where.name`."""
    if where.__class__ is dict:
        if name in where:
            return where[name]
        raise no_key(name)
    if isinstance(where, (dict, Fields, Optional, Message)):
        try:
            return where[name]
        except KeyError:
            raise no_key(name) from None
    own = getattr(where.__class__, "cel_field", None)
    if own is not None:
        return own(where, name)
    raise no_key(name)


def has(where: Any, name: str) -> bool:
    """Return `has(where.name)`."""
    if where.__class__ is dict or isinstance(where, (dict, Fields)):
        return name in where
    if where.__class__ is Optional:
        return where.present and has(where.value, name)
    if where.__class__ is Message:
        return holds(where, name)
    own = getattr(where.__class__, "cel_field", None)
    if own is not None:
        try:
            return own(where, name) is not None
        except Failed:
            return False
    if isinstance(where, (list, tuple)):
        raise Failed("unsupported index type 'string' in list")
    return False  # cel-go, and so Kubernetes, sees no field in null and in what has none


def each(where: Any) -> Any:
    """Return a list, or a map whose iteration gives its keys, to loop over."""
    if where.__class__ is list or where.__class__ is dict or isinstance(where, (list, dict, tuple)):
        return where
    raise no_overload()


def pairs(where: Any) -> Iterable[tuple[Any, Any]]:
    """Return indexes and items of a list, or keys and values of a map."""
    if isinstance(where, dict):
        return where.items()
    if isinstance(where, (list, tuple)):
        return enumerate(where)
    raise no_overload()


def make_map(entries: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """Return a new map. Raises Failed for a key given twice, or one that is no text, whole number or truth value."""
    found: dict[Any, Any] = {}
    for key, value in entries:
        if key.__class__ not in {str, int, Uint, bool}:
            raise Failed(f"unsupported key type: {type_of(key)}")
        if key in found:
            if any(equal(one, key) for one in found):
                raise Failed(f"Failed with repeated key: {_shown(key)}")
            found = MixedMap([*found.items(), (key, value)])
        elif found.__class__ is MixedMap:
            found = MixedMap([*found.items(), (key, value)])
        else:
            found[key] = value
    return found


def make_list(items: Iterable[Any], optional: frozenset[int]) -> list[Any]:
    """Return a new list; of the optional items, those that are present."""
    found = []
    for at, item in enumerate(items):
        if at not in optional:
            found.append(item)
            continue
        if item.__class__ is not Optional:
            raise Failed(f"cannot initialize optional list element from non-optional value {type_of(item)}")
        if item.present:
            found.append(item.value)
    return found


def given(entries: Iterable[tuple[Any, Any, bool]]) -> Iterable[tuple[Any, Any]]:
    """Yield the entries of a map or message that are there: an optional one is left out when absent."""
    for key, value, optional in entries:
        if not optional:
            yield key, value
        elif value.__class__ is not Optional:
            raise Failed(f"cannot initialize optional entry '{_shown(key)}' from non-optional value")
        elif value.present:
            yield key, value.value


def optional_select(where: Any, key: Any) -> Optional:
    """Return `where.?key` and `where[?key]`: nothing, too, of what has no parts."""
    if where.__class__ in _PARTLESS:
        return NONE
    return optional_index(where, key)


OPERATORS: dict[str, Callable[..., Any]] = {
    "_+_": add,
    "_-_": subtract,
    "_*_": multiply,
    "_/_": divide,
    "_%_": modulo,
    "-_": negate,
    "!_": invert,
    "_<_": less,
    "_<=_": less_equal,
    "_>_": greater,
    "_>=_": greater_equal,
    "_==_": equal,
    "_!=_": differ,
    "@in": contains,
    "_[_]": index,
    "_[?_]": optional_select,
}
"""The operators by their names in the tree."""
