"""What every part of the API server is handed: the keeper, the keys, who is who, the clock, the counters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast

from fairlead.drivers.pki import Pki
from fairlead.faces.kube.accounttokens import Issuer
from fairlead.faces.kube.auditing import Auditor
from fairlead.faces.kube.calls import Call
from fairlead.faces.kube.identities import Identities
from fairlead.faces.kube.metrics import Metrics
from fairlead.faces.kube.policies import Access
from fairlead.keep.errors import Cause, Refusal, invalid
from fairlead.keep.requests import Request
from fairlead.keep.worlds import World
from fairlead.reactor.keeping import Keeper
from fairlead.words import Resource, User

MANAGER_LIMIT = 128
_DRY_RUNS = {"", "All"}


def clock() -> datetime:
    """Return the time now, aware UTC."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Site:
    """One control plane as its API sees it."""

    keeper: Keeper
    pki: Pki
    identities: Identities
    issuer: Issuer
    access: Access
    address: str
    """`127.0.0.1:6443`."""
    metrics: Metrics = field(default_factory=Metrics)
    now: Callable[[], datetime] = clock
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    failing_loops: Callable[[], Mapping[str, str]] = dict
    """Which of the process's loops are not well, and why."""
    auditor: Auditor | None = None
    """Who writes down what is asked; None: nobody."""

    def failing(self) -> dict[str, str]:
        """Return the parts that are not well, and why: for the health checks."""
        failed: dict[str, str] = {}
        loops = self.failing_loops()
        if loops:
            failed["controllers"] = "; ".join(f"{name}: {why}" for name, why in sorted(loops.items()))
        if self.keeper.fault:
            failed["store"] = self.keeper.fault
        if self.draining.is_set():
            failed["shutdown"] = "the server is shutting down"
        return failed

    def gauges(self) -> dict[str, tuple[str, float]]:
        """Return what the metrics tell about the store."""
        count = sum(self.world.count(storage) for storage in self.world.storages())
        found: dict[str, tuple[str, float]] = {"apiserver_storage_objects": ("Objects in the store.", count)}
        if self.auditor is not None:
            text = "Audit events that were not written."
            found["apiserver_audit_dropped_events"] = (text, self.auditor.dropped)
        return found

    @classmethod
    def over(cls, keeper: Keeper, pki: Pki, address: str) -> Site:
        """Return the site over an open keeper."""
        issuer = Issuer(pki.signing_key)
        tokens = {token: User(name=who.user, groups=who.groups) for token, who in pki.tokens.items()}
        lookup = Finder(keeper.world)
        return cls(
            keeper, pki, Identities(tokens, issuer, lookup, clock), issuer, Access(keeper.world), address
        )

    @property
    def world(self) -> World:
        """What is true now."""
        return self.keeper.world

    def find(self, group: str, plural: str, namespace: str, name: str) -> Resource | None:
        """Return an object of a built-in kind as it is now, or None."""
        return Finder(self.world)(group, plural, namespace, name)

    def request(self, call: Call, options: str, *, patch: bool = False, apply: bool = False) -> Request:
        """Return the circumstances of a write. Refuses query parameters that Kubernetes refuses (422).

        `options` names the options object for the text: CreateOptions, UpdateOptions, PatchOptions, DeleteOptions.
        """
        dry_run = call.query.get("dryRun", [])
        manager = call.get("fieldManager")
        validation = call.get("fieldValidation")
        causes = [*_dry_run_causes(dry_run), *_manager_causes(manager)]
        if validation not in {"", "Strict", "Warn", "Ignore"}:
            causes.append(
                Cause(
                    "FieldValueNotSupported",
                    f'Unsupported value: "{validation}": supported values: "", "Ignore", "Strict", "Warn"',
                    "fieldValidation",
                )
            )
        if patch and not apply and "force" in call.query:
            causes.append(
                Cause("FieldValueForbidden", "Forbidden: may not be specified for non-apply patch", "force")
            )
        if apply and not manager:
            causes.append(
                Cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
            )
        if causes:
            raise invalid("meta.k8s.io", options, "", causes)
        return Request(
            user=call.user,
            now=self.now(),
            manager=manager or _agent(call),
            dry_run=bool(dry_run and dry_run[0]),
            force=call.flag("force"),
            field_validation=cast("Literal['Strict', 'Warn', 'Ignore']", validation or "Warn"),
        )


@dataclass(frozen=True, slots=True)
class Finder:
    """Looks objects of built-in kinds up by their plural names."""

    world: World

    def __call__(self, group: str, plural: str, namespace: str, name: str) -> Resource | None:
        kind = self.world.catalogue.served(group, "v1", plural)
        if kind is None:
            return None
        try:
            return self.world.get(kind, namespace, name).object
        except Refusal:
            return None


def _agent(call: Call) -> str:
    """Return the default field manager: the User-Agent's first token, as far as it is printable."""
    text = call.headers.get("user-agent", "").partition("/")[0]
    return "".join(char for char in text if char.isprintable())[:MANAGER_LIMIT] or "unknown"


def _dry_run_causes(values: Sequence[Any]) -> list[Cause]:
    wrong = [value for value in values if value not in _DRY_RUNS]
    return [
        Cause("FieldValueNotSupported", f'Unsupported value: "{value}": supported values: "All"', "dryRun")
        for value in wrong
    ]


def _manager_causes(manager: str) -> list[Cause]:
    if len(manager.encode()) > MANAGER_LIMIT:
        return [
            Cause(
                "FieldValueTooLong",
                f"Too long: may not be more than {MANAGER_LIMIT} bytes",
                "fieldManager",
            )
        ]
    bad = next((char for char in manager if not char.isprintable()), "")
    if bad:
        return [
            Cause(
                "FieldValueInvalid",
                f'Invalid value: "{manager}": should only contain printable characters',
                "fieldManager",
            )
        ]
    return []
