"""Writes what users look at on policies: their status in the format's own words, and as Events what a status has no place for.

Words come from the dialects' tables; a status is written only where it says something new. Also here: the definitions that
ConstraintTemplates bring along, and what JsPolicies found. Decides nothing about objects.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from fairlead.judge.policies import Judged
from fairlead.judge.subjects import Subject
from fairlead.keep.errors import Refusal
from fairlead.keep.worlds import World
from fairlead.orchestrate import proposing
from fairlead.reactor.admit import PolicyGate
from fairlead.reactor.policies import DIALECTS, GROUPS
from fairlead.reactor.policing_deeds import ERROR, UNSUPPORTED, Deeds
from fairlead.words import Change, Finding, Ref, Resource

TEMPLATES = "templates.gatekeeper.sh"
_CONSTRAINTS = "constraints.gatekeeper.sh"
_OWN = "admissionregistration.k8s.io"
_DEFINITIONS = ("apiextensions.k8s.io", "CustomResourceDefinition")
_IDLE = "policy.unbound"
SLICE = 0.005
"""Seconds of work before others have their turn."""
_ENTRIES = 10
"""Violations that a JsPolicyViolations keeps where the policy does not say how many."""


class Statuses:
    """See the module. `clock` gives the time, aware UTC."""

    def __init__(self, world: World, gate: PolicyGate, deeds: Deeds, clock: Callable[[], datetime]) -> None:
        self._world = world
        self._gate = gate
        self._deeds = deeds
        self._clock = clock
        self._said: dict[Ref, object] = {}

    async def look(self) -> bool:
        """Bring the status of every policy document up to date; whether all of it went well."""
        by: dict[Ref, list[Finding]] = {}
        for finding in self._gate.loaded.findings:
            by.setdefault(finding.subject, []).append(finding)
        refs = set(self._gate.library.refs())
        for gone in [ref for ref in self._said if ref not in refs]:
            del self._said[gone]
        fine = True
        at = time.monotonic()
        for ref in refs:
            if time.monotonic() - at > SLICE:
                await asyncio.sleep(0)
                at = time.monotonic()
            document = self._document(ref)
            if document is None:
                continue
            meta = document["metadata"]
            findings = by.get(ref, [])
            stamp = (
                meta.get("uid"),
                meta.get("generation"),
                tuple((one.rule, one.message) for one in findings),
            )
            if self._said.get(ref) == stamp:
                continue
            try:
                await self._write(ref, document, findings)
            except Refusal as refusal:
                fine = fine and refusal.code in {403, 404, 422}
                continue
            self._said[ref] = stamp
        return fine

    async def _write(self, ref: Ref, document: Resource, findings: Sequence[Finding]) -> None:
        status = self._status(ref, document, findings)
        told = ""
        if status is not None:
            told = json.dumps(status, ensure_ascii=False)
            await self._put(document, status)
        for finding in findings:
            if finding.rule != _IDLE and json.dumps(finding.message, ensure_ascii=False)[1:-1] not in told:
                reason = ERROR if finding.rule == "policy.broken" else UNSUPPORTED
                await self._deeds.tell(ref, reason, finding.message)

    def _status(self, ref: Ref, document: Resource, findings: Sequence[Finding]) -> Resource | None:
        """Return what the dialect says in the status; None where it says nothing there, or only the audit does."""
        if ref.group == _CONSTRAINTS:
            return None
        write = DIALECTS[GROUPS[ref.group]].WRITES.get((ref.group, ref.kind))
        if write is None:
            return None
        more: dict[str, Any] = {}
        if ref.group == _OWN:
            from fairlead.reactor.celtypes import types_of

            more["types"] = types_of(self._world.catalogue, self._world.schemas)
        said: Resource = write(document, (), findings, self._clock(), **more)
        return said

    async def _put(self, document: Resource, said: Resource) -> None:
        kind = self._world.catalogue.kind(Ref.of(document).group, document["kind"])
        if kind is None or "status" not in kind.subresources:
            return
        before = document.get("status") or {}
        for change in proposing.status(document, {**before, **said}, "what a policy says of itself"):
            await self._deeds.carry_out(change)

    async def ran(self, ref: Ref) -> None:
        """Note in a policy's status that it ran by its schedule."""
        from fairlead.dialects.kyverno.statuses import executed

        document = self._document(ref)
        if document is not None:
            await self._put(document, executed(document, self._clock()))

    def _document(self, ref: Ref) -> Resource | None:
        view = self._gate.around(self._clock()).view
        return view.get(ref.group, ref.kind, ref.namespace, ref.name)

    # The kinds that ConstraintTemplates define

    async def define(self, ref: Ref) -> None:
        """Create the CustomResourceDefinition of a ConstraintTemplate, or bring it up to date; it goes with its template.

        A template that cannot be used defines nothing new. Raises Refusal.
        """
        from fairlead.dialects.gatekeeper import definition_of

        template = self._document(ref)
        if template is None or template["metadata"].get("deletionTimestamp"):
            return
        if any(one.rule == "policy.broken" for one in self._gate.library.findings(ref)):
            return
        wanted = definition_of(template)
        wanted["metadata"]["ownerReferences"] = [
            {
                "apiVersion": template["apiVersion"],
                "kind": template["kind"],
                "name": ref.name,
                "uid": template["metadata"]["uid"],
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]
        name = Ref.of(wanted)
        there = self._document(name)
        if there is None:
            await self._deeds.carry_out(proposing.create(wanted, f"{ref} defines it"))
        elif not _holds(wanted, there):
            meta = {**there["metadata"], **wanted["metadata"]}
            meta["labels"] = {**(there["metadata"].get("labels") or {}), **wanted["metadata"]["labels"]}
            body = {**there, "metadata": meta, "spec": {**there["spec"], **wanted["spec"]}}
            await self._deeds.carry_out(
                Change(
                    verb="update",
                    ref=name,
                    api_version=wanted["apiVersion"],
                    body=body,
                    why=f"{ref} defines it",
                )
            )

    # What JsPolicies found

    async def violated(self, found: deque[tuple[Subject, Judged]]) -> None:
        """Add what JsPolicies found to their JsPolicyViolations; `found` is empty afterwards. Raises Refusal."""
        from fairlead.dialects import jspolicy

        by: dict[str, list[tuple[Subject, Judged]]] = {}
        while found:
            subject, judged = found.popleft()
            by.setdefault(judged.policy.source.name, []).append((subject, judged))
        for name, those in by.items():
            policy = self._document(Ref(jspolicy.GROUP, "JsPolicy", "", name))
            if policy is None:
                continue
            spec = policy.get("spec") or {}
            size = spec.get("auditLogSize")
            size = size if isinstance(size, int) and size > 0 else _ENTRIES
            if spec.get("auditPolicy") == "Skip":
                continue
            wanted = jspolicy.WRITES["JsPolicyViolations"](
                name, those, self._clock().strftime("%Y-%m-%dT%H:%M:%SZ"), size=size
            )
            status = wanted.pop("status")
            there = self._document(Ref.of(wanted))
            if there is None:
                await self._deeds.carry_out(proposing.create(wanted, f"JsPolicy {name} found something"))
                there = self._document(Ref.of(wanted))
            if there is not None:
                before = (there.get("status") or {}).get("violations") or []
                await self._put(there, {"violations": [*before, *status["violations"]][-size:]})


def _holds(wanted: Any, there: Any) -> bool:
    """Whether all that is wanted is there; what the server added does not matter."""
    if isinstance(wanted, Mapping):
        return isinstance(there, Mapping) and all(
            _holds(item, there.get(key)) for key, item in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(there, list) and len(wanted) == len(there) and all(map(_holds, wanted, there))
    return bool(wanted == there)
