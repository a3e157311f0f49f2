"""A rendering as bytes: what a worker is asked, and what it says. A JSON header, and after it the bytes of files as they are.

The answer of a worker is foreign: what is read from it is checked against the shapes and types of `render/packages.py`, piece by piece,
and anything else is `BadAnswer`. Never a pickle.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, Final, TypeVar

import orjson

from fairlead.render.packages import (
    Answers,
    Context,
    Lacking,
    Layer,
    Mistake,
    Mistaken,
    Package,
    Rendered,
    Sort,
)
from fairlead.words import Need

T = TypeVar("T")

LARGEST_ANSWER: Final = 256 << 20
_LENGTH: Final = 8


class BadAnswer(ValueError):
    """The bytes are no answer of a worker."""


def request(
    sort: Sort, package: Package, layers: Sequence[Layer], context: Context, answers: Answers
) -> bytes:
    """Return what a worker is asked."""
    blobs: list[bytes] = []
    header = {
        "sort": sort,
        "where": package.where,
        "target": package.target,
        "files": _put(package.files, blobs),
        "layers": layers,
        "context": context,
        "answers": [
            {"need": need, "files": _put(answer, blobs)}
            if need.what == "package.files" and isinstance(answer, Mapping)
            else {"need": need, "json": answer}
            for need, answer in answers.items()
        ],
    }
    return _frame(header, blobs)


def asked(data: bytes) -> tuple[Sort, Package, tuple[Layer, ...], Context, dict[Need, Any]]:
    """Return what `request` was made from."""
    header, body = _unframe(data)
    at = [0]
    package = Package(_get(header["files"], body, at), header["where"], header["target"])
    answers = {
        shaped(Need, one["need"]): _get(one["files"], body, at) if "files" in one else one["json"]
        for one in header["answers"]
    }
    layers = tuple(shaped(Layer, one) for one in header["layers"])
    return header["sort"], package, layers, shaped(Context, header["context"]), answers


def said(outcome: Rendered | Mistaken | Lacking | str) -> bytes:
    """Return what a worker says: a rendering, why there is none, or (a text) what went wrong inside."""
    if isinstance(outcome, Rendered):
        return _frame({"rendered": outcome}, [])
    if isinstance(outcome, Mistaken):
        return _frame({"mistaken": outcome.mistakes}, [])
    if isinstance(outcome, Lacking):
        return _frame({"lacking": outcome.needs}, [])
    return _frame({"broken": outcome}, [])


def heard(data: bytes) -> Rendered:
    """Return the rendering that a worker has said. Raises Mistaken or Lacking as it did, and BadAnswer."""
    try:
        header, _ = _unframe(data)
        if "rendered" in header:
            return shaped(Rendered, header["rendered"])
        mistakes = [shaped(Mistake, one) for one in header.get("mistaken") or ()]
        needs = [shaped(Need, one) for one in header.get("lacking") or ()]
        broken = header.get("broken")
    except BadAnswer:
        raise
    except (TypeError, ValueError, AttributeError, KeyError, RecursionError) as error:
        raise BadAnswer(f"not an answer: {error}") from error
    if mistakes:
        raise Mistaken(*mistakes)
    if needs:
        raise Lacking(*needs)
    raise BadAnswer(broken if isinstance(broken, str) else "not an answer")


def _put(files: Mapping[str, bytes], blobs: list[bytes]) -> list[tuple[str, int]]:
    blobs.extend(files.values())
    return [(path, len(body)) for path, body in files.items()]


def _get(listed: Sequence[tuple[str, int]], body: memoryview, at: list[int]) -> dict[str, bytes]:
    files = {}
    for path, size in listed:
        files[path] = bytes(body[at[0] : at[0] + size])
        at[0] += size
    return files


def _frame(header: Any, blobs: Sequence[bytes]) -> bytes:
    head = orjson.dumps(header, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    return b"".join((len(head).to_bytes(_LENGTH, "big"), head, *blobs))


def _unframe(data: bytes) -> tuple[dict[str, Any], memoryview]:
    if len(data) < _LENGTH or len(data) > LARGEST_ANSWER:
        raise BadAnswer("an answer without a beginning" if len(data) < _LENGTH else "an answer too large")
    end = _LENGTH + int.from_bytes(data[:_LENGTH], "big")
    body = memoryview(data)
    header = orjson.loads(body[_LENGTH:end])
    if not isinstance(header, dict):
        raise BadAnswer("not an answer")
    return header, body[end:]


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset | set):
        return sorted(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot leave a rendering")


def shaped(wanted: type[T], found: Any) -> T:
    """Return JSON as a dataclass of this type, every field checked. Raises BadAnswer."""
    result: T = _shape(wanted, found)
    return result


@lru_cache(maxsize=64)
def _fields(wanted: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(wanted)
    return {one.name: hints[one.name] for one in dataclasses.fields(wanted)}


def _shape(wanted: Any, found: Any) -> Any:
    if wanted is Any:
        return found
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if isinstance(wanted, type) and dataclasses.is_dataclass(wanted):
        fields = _fields(wanted)
        if not isinstance(found, dict) or not found.keys() <= fields.keys():
            raise BadAnswer(f"not a {getattr(wanted, '__name__', wanted)}")
        return wanted(**{name: _shape(fields[name], value) for name, value in found.items()})
    if origin is typing.Literal:
        if found in inner:
            return found
    elif origin in {typing.Union, types.UnionType}:
        if found is None:
            return None
        return _shape(next(one for one in inner if one is not type(None)), found)
    elif origin in {tuple, frozenset}:
        if isinstance(found, list):
            if origin is tuple and not (len(inner) == 2 and inner[1] is Ellipsis):
                if len(found) != len(inner):
                    raise BadAnswer("a tuple of another length")
                return tuple(_shape(one, part) for one, part in zip(inner, found, strict=True))
            return origin(_shape(inner[0], part) for part in found)
    elif origin is not None:
        if isinstance(found, dict):
            return (
                found if inner[1] is Any else {key: _shape(inner[1], value) for key, value in found.items()}
            )
    elif isinstance(wanted, type) and issubclass(wanted, Enum):
        return wanted(found)
    elif wanted is float and type(found) in {int, float}:
        return float(found)
    elif type(found) is wanted:
        return found
    raise BadAnswer(f"{str(found)[:80]!r} where {getattr(wanted, '__name__', wanted)} is due")
