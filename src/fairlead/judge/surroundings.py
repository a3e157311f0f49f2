"""What a policy may ask beyond the request: what is there, what time it is, and answers from outside.

Data and callables that are handed in; nothing here fetches. What is missing is raised as `Lacking`, for the reactor to
fetch and to ask again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from fairlead.words import Need, Resource, User, View


class Lacking(Exception):
    """A rule cannot be judged before these Needs are answered."""

    def __init__(self, *needs: Need) -> None:
        super().__init__(", ".join(f"{need.what} {need.about}".strip() for need in needs))
        self.needs = needs


class Kinds(Protocol):
    """How kinds and their plurals belong together."""

    def plural(self, group: str, kind: str) -> str:
        """Return the plural, guessed when the kind is unknown."""

    def kind(self, group: str, plural: str) -> str:
        """Return the kind, or "" when the plural is unknown."""

    def version(self, group: str, kind: str) -> str:
        """Return the preferred version, or "" when the kind is unknown."""

    def namespaced(self, group: str, kind: str) -> bool:
        """Return whether objects of the kind live in namespaces (True when the kind is unknown)."""


class Question(NamedTuple):
    """An access question, as a SubjectAccessReview asks it. With `path` set it is about no resource."""

    user: User
    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    labels: str = ""
    fields: str = ""


@dataclass(slots=True, kw_only=True)
class Surroundings:
    """The moment in which things are judged. One instance may serve many subjects; policies must not change it.

    `view` is what is there. `answers` hold what was fetched for Needs: the answer, or an Exception that says why there is none.
    `allowed` decides access questions (allowed, reason). `merge` merges an apply configuration into an object as server-side
    apply would, by the kind's schema: (api_version, kind, live, applied) -> merged, or ValueError. `atomics` names the paths in an apply
    configuration that would set a whole list or map at once: (api_version, kind, applied) -> paths. `seed` makes what must look random;
    the same seed gives the same names. `memo` keeps what policies computed once for all subjects of this moment, under keys
    that begin with the policy's own object. `given` are variables that a person or a test states in place of what a rule would look
    up: (policy, rule, object's name) -> values by dotted names such as `request.operation` or `imageData`.
    """

    view: View
    now: datetime
    kinds: Kinds
    answers: Mapping[Need, Any] = field(default_factory=dict)
    allowed: Callable[[Question], tuple[bool, str]] | None = None
    merge: Callable[[str, str, Resource, Resource], Resource] | None = None
    atomics: Callable[[str, str, Resource], Sequence[str]] | None = None
    seed: int = 0
    memo: dict[Any, Any] = field(default_factory=dict)
    given: Callable[[str, str, str], Mapping[str, Any]] | None = None

    def ask(self, need: Need) -> Any:
        """Return the answer to a Need. Raises Lacking when there is none yet, or the answer if that is an Exception."""
        try:
            answer = self.answers[need]
        except KeyError:
            raise Lacking(need) from None
        if isinstance(answer, Exception):
            raise answer
        return answer
