"""The words that table cells are made of: ages, selectors, lists that are cut short.

Pure functions of an object and the moment; which cells a kind has is in the `tables_*` modules.
Source: k8s.io/apimachinery/pkg/util/duration, kubernetes pkg/printers/internalversion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from fairlead.tongues import selectors
from fairlead.words import Resource

Cells: TypeAlias = Sequence[Any]

NONE = "<none>"
UNSET = "<unset>"
UNKNOWN = "<unknown>"
_MOST_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `type` is an OpenAPI type, `priority` 0 for always shown and 1 for `-o wide`."""

    name: str
    description: str
    type: str = "string"
    format: str = ""
    priority: int = 0

    @property
    def document(self) -> dict[str, Any]:
        """The TableColumnDefinition."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


@dataclass(frozen=True, slots=True)
class Layout:
    """How a kind is shown: its columns, and what makes an object's cells (and the row's conditions, where it has any)."""

    columns: tuple[Column, ...]
    cells: Callable[[Resource, datetime], Cells]
    conditions: Callable[[Resource], Sequence[Mapping[str, Any]]] | None = None


NAME = Column("Name", "The object's name, unique among its kind in its namespace.", format="name")
AGE = Column("Age", "How long ago the object was created.")
CONTAINERS = Column("Containers", "The names of the containers in the template.", priority=1)
IMAGES = Column("Images", "The images of the containers in the template.", priority=1)
SELECTOR = Column("Selector", "Which pods belong to this object, by their labels.", priority=1)


def integer(name: str, description: str, priority: int = 0) -> Column:
    """Return a column of whole numbers."""
    return Column(name, description, "integer", priority=priority)


def duration(seconds: float) -> str:
    """Return a span of time in two or three figures: `45s`, `5m12s`, `3d4h`, `2y11d`."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 120:
        return f"{whole}s"
    minutes, second = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes}m{second}s" if second else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours, minute = divmod(minutes, 60)
    if hours < 8:
        return f"{hours}h{minute}m" if minute else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    days, hour = divmod(hours, 24)
    if days < 8:
        return f"{days}d{hour}h" if hour else f"{days}d"
    if days < 365 * 2:
        return f"{days}d"
    years, day = divmod(days, 365)
    if years < 8:
        return f"{years}y{day}d" if day else f"{years}y"
    return f"{years}y"


def moment(text: Any) -> datetime | None:
    """Return a metav1.Time or MicroTime as an aware datetime, None for what is none."""
    if not text or not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def since(text: Any, now: datetime) -> str:
    """Return how long ago a time was, `<unknown>` for none."""
    found = moment(text)
    return UNKNOWN if found is None else duration((now - found).total_seconds())


def age(resource: Resource, now: datetime) -> str:
    """Return how long ago the object was created."""
    return since(resource["metadata"].get("creationTimestamp"), now)


def name_of(resource: Resource) -> str:
    """Return the object's name, "" if it has none."""
    return resource["metadata"].get("name") or ""


def at(value: Any, *keys: str) -> Any:
    """Return what lies under the keys, None where the way ends."""
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def labels_text(labels: Mapping[str, str] | None) -> str:
    """Return labels as `a=b,c=d`, sorted, or `<none>`."""
    return ",".join(f"{key}={labels[key]}" for key in sorted(labels)) if labels else NONE


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """Return a LabelSelector as kubectl's -l would take it, `<none>` for one that selects all or nothing."""
    try:
        return str(selectors.from_object(selector)) or NONE
    except ValueError:
        return "<error>"


def template_cells(template: Any) -> tuple[str, str]:
    """Return the names and the images of a pod template's containers."""
    containers = at(template, "spec", "containers") or ()
    return (
        ",".join(container.get("name") or "" for container in containers),
        ",".join(container.get("image") or "" for container in containers),
    )


def cut_short(items: Iterable[str], *, joint: str = ",", most: int = _MOST_SHOWN, empty: str = NONE) -> str:
    """Return the first few items and how many there are beyond them."""
    found = list(items)
    if not found:
        return empty
    text = joint.join(found[:most])
    return f"{text} + {len(found) - most} more..." if len(found) > most else text


def yes_no(value: Any) -> str:
    """Return `True` or `False`, `<unset>` for None."""
    return UNSET if value is None else "True" if value else "False"


def condition(resource: Resource, name: str) -> Mapping[str, Any] | None:
    """Return the condition of a type in the object's status."""
    for found in at(resource, "status", "conditions") or ():
        if found.get("type") == name:
            return found  # type: ignore[no-any-return]  # conditions are objects
    return None


def is_true(resource: Resource, name: str) -> bool:
    """Whether the condition is there and true."""
    found = condition(resource, name)
    return found is not None and found.get("status") == "True"
