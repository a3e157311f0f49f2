"""What a deed is: for one rule, an action that it must see and a similar one that it must not.

The actions are performed for real in a Room. `needs` says what the container is to be: the words of a Container's description.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stage import Room

Act = Callable[[Room], object]


@dataclass(frozen=True, slots=True)
class Deed:
    """One rule's pair. `container` and `otherwise` describe the container of the harmful and of the harmless action."""

    rule: str
    harm: Act
    harmless: Act
    container: Mapping[str, Any] = field(default_factory=dict)
    otherwise: Mapping[str, Any] | None = None


def program(path: str, *args: str, **how: Any) -> Act:
    """Return the act of running a program that is put there; `act` and `then` are scripts, as in Room.command."""

    def run(room: Room) -> None:
        room.install(path)
        for children in how.get("then", ()):
            for step in children:
                if step[0] in {"run", "start", "exec"}:
                    room.install(step[1])
        for step in how.get("act", ()):
            if step[0] in {"run", "start", "exec"}:
                room.install(step[1])
        room.run(path, *args, **how)

    return run


def on_host(
    name: str, *args: str, act: Sequence[tuple[object, ...]] = (), env: Mapping[str, str] | None = None
) -> Act:
    """Return the act of running a program of that name outside any container; `args` are its argv."""

    def run(room: Room) -> None:
        room.install(f"/opt/{name}")
        room.run(str(room.outside(f"/opt/{name}")), *(args or (name,)), act=act, env=env, host=True)

    return run


def does(*steps: tuple[object, ...], **how: Any) -> Act:
    """Return the act of a plain program that takes these steps."""
    return program("/bin/actor", act=steps, **how)
