"""Arrays and sets: sums, the greatest, order, membership, parts and unions; and walking through any value."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from fairlead.tongues.rego.values import UNDEFINED, Set, box, equal, in_order, key, order, type_name, unbox

from .arithmetic import DECIMAL, exact, narrow
from .kinds import (
    LONGEST_NUMBER,
    Builtin,
    Context,
    OperandError,
    a_set,
    array,
    bounded,
    integer,
    table,
    wrong,
)


def members(value: Any, place: int, *wanted: str) -> list[Any]:
    """Return the elements of the operand, which must be an array or a set (these are sorted)."""
    if type(value) is list:
        return value
    if type(value) is Set:
        return value.sorted()
    raise wrong(place, value, *(wanted or ("set", "array")))


def element_error(place: int, value: Any, element: Any, wanted: str) -> OperandError:
    """Return the error for an element of another type than wanted."""
    kind = type_name(value)
    return OperandError(
        f"operand {place} must be {kind} of {wanted}s but got {kind} containing {type_name(element)}"
    )


def texts(value: Any, place: int, *wanted: str) -> list[str]:
    """Return the elements of an array or a set of strings."""
    found = members(value, place, *wanted)
    for element in found:
        if type(element) is not str:
            raise element_error(place, value, element, "string")
    return found


def count(_: Context, value: Any) -> int:
    """Count elements, or characters."""
    if type(value) in {list, dict, Set, str}:
        return len(value)
    raise wrong(1, value, "array", "object", "set", "string")


def _numbers(value: Any) -> tuple[list[Any], bool]:
    found = members(value, 1)
    kinds = set(map(type, found))
    if not kinds <= {int, float}:
        strange = next(element for element in found if type(element) not in {int, float})
        raise element_error(1, value, strange, "number")
    return found, float not in kinds


def total(_: Context, value: Any) -> int | float:
    """Add all numbers."""
    found, whole = _numbers(value)
    if whole:
        exact_total: int = sum(found)
        return exact_total
    result = Decimal(0)
    for element in found:
        result = DECIMAL.add(result, exact(element))
    return narrow(result)


def product(_: Context, value: Any) -> int | float:
    """Multiply all numbers."""
    found, whole = _numbers(value)
    if whole:
        if 0 in found:
            return 0
        bounded(sum(element.bit_length() for element in found), LONGEST_NUMBER, "bits")
        exact_result = 1
        for element in found:
            exact_result *= element
        return exact_result
    result = Decimal(1)
    for element in found:
        result = DECIMAL.multiply(result, exact(element))
    return narrow(result)


def greatest(_: Context, value: Any) -> Any:
    """Return the greatest element; of nothing it is undefined."""
    found = members(value, 1)
    return in_order(found)[-1] if found else UNDEFINED


def least(_: Context, value: Any) -> Any:
    """Return the least element; of nothing it is undefined."""
    found = members(value, 1)
    if type(value) is Set and len(found) > 1:  # as OPA has it: null is what it starts from
        found = [element for element in found if element is not None]
    return min(found, key=order) if found else UNDEFINED


def sort(_: Context, value: Any) -> list[Any]:
    """Return the elements in Rego's order."""
    return in_order(members(value, 1))


def every(_: Context, value: Any) -> bool:
    """Tell whether all elements are true."""
    return all(element is True for element in members(value, 1, "array", "set"))


def some(_: Context, value: Any) -> bool:
    """Tell whether an element is true."""
    return any(element is True for element in members(value, 1, "array", "set"))


def member(_: Context, value: Any, container: Any) -> bool:
    """Tell whether an array, a set, or an object's values hold the value."""
    kind = type(container)
    if kind is Set:
        return value in container
    if kind is list or kind is dict:
        found = container if kind is list else container.values()
        if type(value) is str:
            return value in found
        return any(equal(value, element) for element in found)
    return False


def member_with_key(_: Context, name: Any, value: Any, container: Any) -> bool:
    """Tell whether the container holds the value under the key."""
    kind = type(container)
    if kind is Set:
        return name in container and equal(name, value)
    if kind is dict:
        found = container.get(box(name), UNDEFINED)
        return found is not UNDEFINED and equal(found, value)
    if kind is list and type(name) in {int, float} and 0 <= name < len(container) and name == int(name):
        return equal(container[int(name)], value)
    return False


def concatenate(_: Context, one: Any, other: Any) -> list[Any]:
    """Put two arrays together."""
    left, right = array(one, 1), array(other, 2)
    bounded(len(left) + len(right))
    return left + right


def part(_: Context, value: Any, start: Any, stop: Any) -> list[Any]:
    """Return the elements from `start` up to `stop`, both brought within the array."""
    found, first, last = array(value, 1), integer(start, 2), integer(stop, 3)
    return found[max(first, 0) : max(last, 0)]


def backwards(_: Context, value: Any) -> list[Any]:
    """Return the elements in the opposite order."""
    return array(value, 1)[::-1]


def flatten(_: Context, value: Any) -> list[Any]:
    """Put the elements of inner arrays in their places, one level deep."""
    result: list[Any] = []
    for element in array(value, 1):
        if type(element) is list:
            bounded(len(result) + len(element))
            result.extend(element)
        else:
            result.append(element)
    return result


def union_of_two(_: Context, one: Any, other: Any) -> Set:
    """Unite two sets."""
    return a_set(one, 1) | a_set(other, 2)


def common_of_two(_: Context, one: Any, other: Any) -> Set:
    """Return what two sets have in common."""
    return a_set(one, 1) & a_set(other, 2)


def union(_: Context, sets: Any) -> Set:
    """Unite a set of sets."""
    result: dict[Any, Any] = {}
    for element in a_set(sets, 1):
        result.update(a_set(element, 1).items)
    return Set.of(result)


def intersection(_: Context, sets: Any) -> Set:
    """Return what all sets in a set have in common."""
    found = [a_set(element, 1) for element in a_set(sets, 1)]
    if not found:
        return Set()
    result = min(found, key=len)
    for element in found:
        result &= element
    return result


def difference(_: Context, one: Any, other: Any) -> Set:
    """Take the elements of one set from another (deprecated)."""
    return a_set(one, 1) - a_set(other, 2)


def walk(context: Context, value: Any) -> Iterator[list[Any]]:
    """Yield [path, value] for the value itself and all that is in it, however deep."""
    waiting: list[tuple[list[Any], Any]] = [([], value)]
    while waiting:
        path, found = waiting.pop()
        context.spend(1)
        yield [path, found]
        kind = type(found)
        if kind is list:
            waiting.extend([([*path, place], found[place]) for place in range(len(found) - 1, -1, -1)])
        elif kind is dict:
            waiting.extend([([*path, unbox(name)], inner) for name, inner in reversed(found.items())])
        elif kind is Set:
            waiting.extend([([*path, inner], inner) for inner in reversed(found.sorted())])


def reachable(context: Context, graph: Any, start: Any) -> Set:
    """Return the nodes that can be reached, with those to start from, as far as the graph knows them."""
    edges = _graph(graph)
    waiting = list(_start(start))
    found = Set()
    while waiting:
        node = waiting.pop()
        if node in found:
            continue
        following = edges.get(box(node), UNDEFINED)
        if following is not UNDEFINED:
            found.add(node)
            context.spend(1)
            waiting.extend(_vertices(following))
    return found


def _graph(graph: Any) -> dict[Any, Any]:
    if type(graph) is not dict:
        raise wrong(1, graph, "object")
    return graph


def _start(start: Any) -> list[Any]:
    if type(start) is not list and type(start) is not Set:
        raise wrong(2, start, "{array, set}")
    return _vertices(start)


def _vertices(value: Any) -> list[Any]:
    return value if type(value) is list else value.sorted() if type(value) is Set else []


def paths(context: Context, graph: Any, start: Any) -> Set:
    """Return the paths from the nodes to start from: each as far as the graph goes without coming back.

    As in OPA, what one branch passed counts as passed for its neighbours, and a node that comes back to several passed ones
    gives its path once for each of them, one after the other.
    """
    edges = _graph(graph)
    result = Set()
    size = 0
    for first in _start(start):
        following = edges.get(box(first), UNDEFINED)
        if following is UNDEFINED:
            continue
        if not _vertices(following):
            result.add([first])
            continue
        for neighbour in _vertices(following):
            passed = {key(first)}
            stack: list[tuple[Any, list[Any], Iterator[Any], list[Any]]] = [
                (None, [first], iter([neighbour]), [])
            ]
            while stack:
                node, path, ahead, gathered = stack[-1]
                following = next(ahead, UNDEFINED)
                if following is UNDEFINED:
                    stack.pop()
                    continue
                context.spend(len(path))
                size = bounded(size + len(path) + len(gathered))
                if len(path) > 1 or len(stack) > 1:
                    if key(following) in passed:
                        gathered.extend(path)
                        result.add(list(gathered))
                        continue
                    passed.add(key(node))
                steps = edges.get(box(following), UNDEFINED)
                if steps is UNDEFINED:
                    result.add(path)
                elif further := _vertices(steps):
                    stack.append((following, [*path, following], iter(further), []))
                else:
                    result.add([*path, following])
    return result


BUILTINS = table(
    Builtin("count", 1, count),
    Builtin("sum", 1, total),
    Builtin("product", 1, product),
    Builtin("max", 1, greatest),
    Builtin("min", 1, least),
    Builtin("sort", 1, sort),
    Builtin("all", 1, every),
    Builtin("any", 1, some),
    Builtin("internal.member_2", 2, member),
    Builtin("internal.member_3", 3, member_with_key),
    Builtin("array.concat", 2, concatenate),
    Builtin("array.slice", 3, part),
    Builtin("array.reverse", 1, backwards),
    Builtin("array.flatten", 1, flatten),
    Builtin("or", 2, union_of_two),
    Builtin("and", 2, common_of_two),
    Builtin("union", 1, union),
    Builtin("intersection", 1, intersection),
    Builtin("set_diff", 2, difference),
    Builtin("walk", 1, walk, relation=True),
    Builtin("graph.reachable", 2, reachable),
    Builtin("graph.reachable_paths", 2, paths),
)
