"""What a log says was refused to a service account: who asked for what, and where.

Reading only, and only of the text that is handed in: whether the right is there by now is for others to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fairlead.diagnose.causes import Key
from fairlead.words import Ref

_DENIED = re.compile(
    r'(?:(?<![\w.-])[a-z][\w.-]*(?: "(?P<name>[^"]+)")? is )?forbidden: '
    r'User "system:serviceaccount:(?P<space>[^:"]+):(?P<account>[^"]+)" cannot (?P<verb>[a-z*]+) '
    r'(?:resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"|path "(?P<path>[^"]+)")'
    r'(?: (?:in the namespace "(?P<where>[^"]*)"|at the cluster scope))?'
)


@dataclass(frozen=True, slots=True)
class Denial:
    """What an account asked for and was refused. `where` is "" for the whole cluster, `name` the one object, if one was named."""

    account: Ref
    verb: str
    group: str
    resource: str
    where: str
    name: str
    path: str

    @property
    def what(self) -> str:
        """For people: `list pods`, `get secrets.example.com "a"`."""
        if self.path:
            return f"{self.verb} {self.path}"
        thing = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {thing}"

    @property
    def place(self) -> str:
        """For people: where it was asked for."""
        return f"in namespace {self.where}" if self.where else "in the whole cluster"

    @property
    def key(self) -> Key:
        """The name of the fact about it."""
        return ("rights.missing", self.account, f"{self.what}@{self.where}")


def denials(log: str) -> list[tuple[Denial, str]]:
    """Return what a log says was refused to service accounts, each once with the line that says so."""
    found: dict[Denial, str] = {}
    for line in log.splitlines():
        if "forbidden: User" not in line:
            continue
        plain = line.replace('\\"', '"')
        for match in _DENIED.finditer(plain):
            ref = Ref("", "ServiceAccount", match["space"], match["account"])
            denial = Denial(
                ref, match["verb"], match["group"] or "", match["resource"] or "", match["where"] or "",
                match["name"] or "", match["path"] or "",
            )  # fmt: skip
            found.setdefault(denial, plain[max(0, match.start() - 60) : match.end()])
    return list(found.items())
