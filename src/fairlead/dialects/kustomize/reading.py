"""Resources out of YAML: documents, lists taken apart, and what makes a document no resource.

Source: sigs.k8s.io/kustomize/kyaml/kio and api/resource: documents are separated by lines of `---`, empty ones are passed over, a
resource has a kind and a name, and what a kind that ends in List has as items are resources.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from fairlead.dialects.kustomize.items import Item
from fairlead.dialects.kustomize.scalars import (
    Quoted,
    copied,
    hollow,
    nothing,
    resource_scalar,
    settings_scalar,
    text,
)
from fairlead.render.packages import Mistake, Mistaken
from fairlead.tongues import yamls
from fairlead.words import Where


class NoResource(Exception):
    """A text that is YAML, or not, but holds no resources."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.message, self.line, self.column = message, line, column


_SEPARATOR = re.compile(r"^---[^\n]*", re.MULTILINE)


def decoded(body: bytes, file: str) -> str:
    """Return the text of a file. Raises Mistaken where it is not UTF-8."""
    try:
        return body.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise Mistaken(Mistake("is not UTF-8 text", Where(file, line))) from None


def settings(body: bytes, file: str) -> Any:
    """Return the value of the first document of a file of settings. Raises Mistaken."""
    try:
        found = yamls.load_all(decoded(body, file), settings_scalar, repeats=True)
    except yamls.BadYaml as error:
        raise Mistaken(
            Mistake(f"is no YAML: {error.message}", Where(file, error.line), error.column)
        ) from None
    return found[0] if found else None


def resources(source: str) -> list[dict[str, Any]]:
    """Return the resources of a text, those of lists last. Raises NoResource."""
    try:
        documents = yamls.load_all(
            source.replace("\r\n", "\n") if "\r" in source else source, resource_scalar, texts=Quoted
        )
    except yamls.BadYaml as error:
        raise NoResource(f"is no YAML: {error.message}", error.line, error.column) from None
    if len(documents) == 1 and type(documents[0]) is dict:
        documents = _unwrapped(documents[0])
    found: list[dict[str, Any]] = []
    waiting = [one for one in documents if not hollow(one)]
    if "&" in source and "*" in source:  # aliases share what must be changed apart
        waiting = [copied(one) for one in waiting]
    for one in waiting:
        _check(one)
    at = 0
    while at < len(waiting):
        one = waiting[at]
        at += 1
        if not text(one.get("kind")).endswith("List") or "items" not in one:
            found.append(one)
            continue
        items = one["items"]
        if nothing(items):
            continue
        if type(items) is not list:
            raise NoResource(f"{text(one['kind'])}.items must be a list")
        inner = [item for item in items if not hollow(item)]
        for item in inner:
            _check(item)
        waiting += inner
    return found


def read(source: str, file: str) -> list[Item]:
    """Return the resources of a text as items. Raises NoResource."""
    return [Item.read(one, file) for one in resources(source)]


def _unwrapped(document: dict[str, Any]) -> list[Any]:
    if text(document.get("kind")) not in {"List", "ResourceList"}:
        return [document]
    if "items" not in document and "functionConfig" not in document:
        return [document]
    items = document.get("items")
    return items if type(items) is list else []


def check(document: Any, file: str) -> None:
    """Make sure that a finished object still is one. Raises Mistaken."""
    try:
        _check(document)
    except NoResource as fault:
        raise Mistaken(Mistake(fault.message, Where(file))) from None


def _check(document: Any) -> None:
    if type(document) is not dict:
        raise NoResource("is no resource: a mapping with apiVersion, kind and metadata is expected")
    kind = text(document.get("kind")) if not nothing(document.get("kind")) else ""
    if not kind:
        raise NoResource(f"missing kind in {_shown(document)}")
    if kind.endswith("List"):
        return
    meta = document.get("metadata")
    name = meta.get("name") if type(meta) is dict else None
    if nothing(name) or not text(name):
        raise NoResource(f"missing metadata.name in {_shown(document)}")


_LONGEST: Final = 80


def _shown(document: Mapping[str, Any]) -> str:
    kind = document.get("kind")
    return (
        f"the object of kind {text(kind)}"
        if not nothing(kind)
        else f"the object with {', '.join(document)}"[:_LONGEST]
    )
