"""Creating, updating and patching: every write's way from a body to a staged entry.

Decode, default, own, admit, prepare, validate, compare, stage, in Kubernetes' order. A refused or dry write stages
nothing. Must never touch what readers see: only the head.
Source: k8s.io/apiserver registry/generic/registry/store.go, registry/rest/{create,update}.go, endpoints/handlers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from fairlead.keep import admitting, applying, chances, guarding, misfits, patches, strategies
from fairlead.keep.chances import Chance
from fairlead.keep.defaulting import default
from fairlead.keep.entries import Entry, Outcome, Stored, encode
from fairlead.keep.errors import (
    Cause,
    Refusal,
    already_exists,
    bad_request,
    conflict,
    invalid,
    name_collision,
    not_found,
)
from fairlead.keep.gating import Gate, Lens
from fairlead.keep.kinds import Catalogue, Kind
from fairlead.keep.requests import Request
from fairlead.keep.schemas import Schemas
from fairlead.keep.staging import Store
from fairlead.keep.validating import validate
from fairlead.keep.versions import STORED_AS, convert
from fairlead.words import PatchType, Resource

_LONGEST_BASE = 58
_TRIES = 8


class Writer:
    """Writes to one store. Every method takes its bodies over: the caller must not use them afterwards."""

    def __init__(self, store: Store, catalogue: Catalogue, schemas: Schemas, rng: Chance) -> None:
        self.store = store
        self.catalogue = catalogue
        self.schemas = schemas
        self.rng = rng
        self.gate: Gate | None = None

    # Reading the head

    def find(self, kind: Kind, namespace: str, name: str) -> Stored:
        """Return the newest state of an object, also one that is not committed yet; Refusal 404."""
        found = self.store.head.get(kind.storage, namespace, name)
        if found is None:
            raise not_found(kind.group, kind.plural, name)
        return found

    def live(self, kind: Kind, stored: Stored) -> Resource:
        """Return a fresh copy of the stored object in the version of `kind`."""
        return convert(stored.object, kind.api_version)

    # Creating

    def create(self, kind: Kind, namespace: str, body: Resource, request: Request) -> Outcome:
        """Create the object. Refusals: 400, 403, 404 (namespace), 409, 422."""
        obj, warnings = self.schemas.check(kind, body, request.field_validation)
        same_kind(kind, obj)
        _settle_namespace(kind, namespace, obj)
        return self._create(kind, namespace, obj, warnings, request, own=True)

    def _create(
        self,
        kind: Kind,
        namespace: str,
        obj: Resource,
        warnings: Sequence[str],
        request: Request,
        *,
        own: bool,
    ) -> Outcome:
        meta: dict[str, Any] = obj["metadata"]
        if meta.get("resourceVersion") not in {None, "", "0"}:
            raise Refusal(500, "", "resourceVersion should not be set on objects to be created")
        meta.pop("resourceVersion", None)
        meta.pop("creationTimestamp", None)
        strategies.prepare_create(kind, obj)
        self.default(kind, obj)
        if own:
            self._own(kind, None, obj, request, "")
        admission = admitting.Admission(
            "CREATE", kind, namespace, obj, None, request, self.store, self.catalogue, self.rng
        )
        admitting.change(admission)
        guarding.change(self, admission)
        obj, meta = admission.obj, admission.obj["metadata"]
        generated = not meta.get("name") and bool(meta.get("generateName"))
        if generated:
            meta["name"] = self._free_name(kind, namespace, meta["generateName"])
        meta["uid"] = chances.uid(self.rng)
        meta["creationTimestamp"] = stamp(request.now)
        strategies.start(kind, obj)
        admitting.place(admission)
        self._validate(kind, obj, None)
        name = meta.get("name") or ""
        if not name:
            cause = Cause(
                "FieldValueRequired", "Required value: name or generateName is required", "metadata.name"
            )
            raise invalid(kind.group, kind.kind, "", [cause])
        guarding.judge(self, admission)
        if self.store.head.get(kind.storage, namespace, name) is not None:
            raise already_exists(kind.group, kind.plural, name)
        admitting.judge(admission)
        admitting.establish(admission)
        warnings = [*warnings, *admission.warnings]
        if request.dry_run:
            return Outcome(obj, encode(obj), (), tuple(warnings), created=True)
        entries = self.follow_up(admission)
        entry = self.stage("ADDED", kind, obj, None)
        return self.outcome(kind, obj, [*entries, entry], warnings, created=True)

    def _free_name(self, kind: Kind, namespace: str, base: str) -> str:
        for _ in range(_TRIES):
            name = base[:_LONGEST_BASE] + chances.suffix(self.rng)
            if self.store.head.get(kind.storage, namespace, name) is None:
                return name
        raise name_collision(kind.group, kind.plural, base[:_LONGEST_BASE])

    # Updating

    def update(
        self, kind: Kind, namespace: str, name: str, body: Resource, request: Request, subresource: str = ""
    ) -> Outcome:
        """Replace the object, or what a subresource shows of it. A PUT creates where the kind allows that."""
        obj, warnings = self.schemas.check(kind, body, request.field_validation)
        same_kind(kind, obj)
        _same_name(kind, namespace, name, obj)
        found = self.store.head.get(kind.storage, namespace, name)
        if found is None:
            if strategies.strategy(kind).upsert and not subresource:
                return self._create(kind, namespace, obj, warnings, request, own=True)
            raise not_found(kind.group, kind.plural, name)
        old = self.live(kind, found)
        _check_uid(kind, namespace, name, obj, old)
        self._check_version(kind, name, obj, found)
        return self.replace(kind, found, old, obj, request, subresource, warnings)

    def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        patch: Any,
        patch_type: PatchType,
        request: Request,
        subresource: str = "",
    ) -> Outcome:
        """Patch the object, or what a subresource shows of it; a server-side apply creates what is not there."""
        found = self.store.head.get(kind.storage, namespace, name)
        if patch_type == "apply":
            return self._apply(kind, namespace, name, found, patch, request, subresource)
        if found is None:
            raise not_found(kind.group, kind.plural, name)
        old = self.live(kind, found)
        obj, warnings = self.fitted(kind, found, patch, patch_type, request)
        same_kind(kind, obj)
        _same_name(kind, namespace, name, obj)
        _check_uid(kind, namespace, name, obj, old)
        if obj["metadata"].get("resourceVersion") not in {None, "", str(found.rv)}:
            raise conflict(kind.group, kind.plural, name)
        return self.replace(kind, found, old, obj, request, subresource, warnings)

    def fitted(
        self, kind: Kind, found: Stored, patch: Any, patch_type: PatchType, request: Request
    ) -> tuple[Resource, list[str]]:
        """Return the decoded result of a json, merge or strategic patch, with warnings; Refusal 422 for one of no such kind."""

        def result() -> Resource:
            return patched(self.live(kind, found), patch, patch_type, lambda: self.schemas.node(kind))

        obj = result()
        try:
            return self.schemas.check(kind, obj, request.field_validation)
        except Refusal as refusal:
            raise misfits.misfit(refusal, kind, patch, patch_type, result()) from None

    def _apply(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        found: Stored | None,
        patch: Any,
        request: Request,
        subresource: str,
    ) -> Outcome:
        if not request.manager:
            cause = Cause("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
            raise invalid("meta.k8s.io", "PatchOptions", "", [cause])
        if not isinstance(patch, dict):
            raise bad_request("error decoding YAML: the patch is not an object")
        given = patch.get("metadata")
        if isinstance(given, dict) and given.get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        applied, warnings = self.schemas.check(kind, patch, request.field_validation)
        same_kind(kind, applied)
        _same_name(kind, namespace, name, applied)
        meta = applied["metadata"]
        _settle_namespace(kind, namespace, applied)
        old = self.live(kind, found) if found is not None else None
        if old is None and subresource:
            raise not_found(kind.group, kind.plural, name)
        if old is None and meta.get("uid"):
            raise conflict(
                kind.group,
                kind.plural,
                name,
                f"uid mismatch: the provided object specified uid {meta['uid']}, and no existing object was found",
            )
        if found is not None and old is not None:
            _check_uid(kind, namespace, name, applied, old)
            if meta.get("resourceVersion") not in {None, "", str(found.rv)}:
                raise conflict(kind.group, kind.plural, name)
        for field in ("resourceVersion", "creationTimestamp", "uid"):
            meta.pop(field, None)
        new = applying.apply(
            self.live(kind, found) if found is not None else None,
            applied,
            self.schemas.node(kind),
            request.manager,
            kind.api_version,
            request.now,
            request.force,
            subresource=subresource,
            reset=_reset(kind, applied, subresource),
        )
        if found is None or old is None:
            return self._create(kind, namespace, new, warnings, request, own=False)
        new["metadata"]["resourceVersion"] = str(found.rv)
        return self.replace(kind, found, old, new, request, subresource, warnings, own=False)

    def replace(
        self,
        kind: Kind,
        found: Stored,
        old: Resource,
        obj: Resource,
        request: Request,
        subresource: str = "",
        warnings: Sequence[str] = (),
        *,
        own: bool = True,
        lens: Lens | None = None,
    ) -> Outcome:
        """Put a new state, already decoded and checked against its preconditions, in place of the old one.

        `lens` shows policies what the subresource speaks, where that is not the object itself.
        """
        namespace = found.namespace
        _settle_namespace(kind, namespace, obj)
        self.default(kind, obj)
        obj = strategies.prepare_update(kind, obj, old, subresource)
        if own:
            self._own(kind, old, obj, request, subresource)
        admission = admitting.Admission(
            "UPDATE",
            kind,
            namespace,
            obj,
            old,
            request,
            self.store,
            self.catalogue,
            self.rng,
            subresource=subresource,
        )
        admitting.change(admission)
        guarding.change(self, admission, lens)
        admitting.place(admission)
        obj = admission.obj
        obj["metadata"]["resourceVersion"] = str(found.rv)
        if unchanged(obj, old):
            guarding.judge(self, admission, lens)
            return Outcome(old, self.bytes_of(kind, found), (), (*warnings, *admission.warnings))
        self._validate(kind, obj, old)
        guarding.judge(self, admission, lens)
        admitting.judge(admission)
        admitting.establish(admission)
        warnings = [*warnings, *admission.warnings]
        finished = finished_by(kind, obj, old)
        if request.dry_run:
            return Outcome(obj, encode(obj), (), tuple(warnings))
        entries = self.follow_up(admission)
        entry = self.stage("DELETED" if finished else "MODIFIED", kind, obj, found)
        return self.outcome(kind, obj, [*entries, entry], warnings)

    # Parts

    def stage(self, type_: Any, kind: Kind, obj: Resource, before: Stored | None) -> Entry:
        """Stage the object as its storage keeps it; `obj` learns its resourceVersion."""
        target = STORED_AS.get(kind.storage)
        if target is None or target == (kind.group, kind.version):
            return self.store.stage(type_, kind.storage, obj, before)
        group, version = target
        kept = convert(_copied(obj), f"{group}/{version}" if group else version)
        entry = self.store.stage(type_, kind.storage, kept, before)
        obj["metadata"]["resourceVersion"] = str(entry.rv)
        return entry

    def outcome(
        self,
        kind: Kind,
        obj: Resource,
        entries: Sequence[Entry],
        warnings: Sequence[str] = (),
        *,
        created: bool = False,
    ) -> Outcome:
        """Return the Outcome whose last entry is the object's own."""
        own = entries[-1]
        body = own.body if kind.storage not in STORED_AS else encode(obj)
        return Outcome(obj, body, tuple(entries), tuple(warnings), created=created)

    def bytes_of(self, kind: Kind, found: Stored) -> bytes:
        """Return a stored object's bytes in the version of `kind`."""
        return found.body if kind.storage not in STORED_AS else encode(self.live(kind, found))

    def follow_up(self, admission: admitting.Admission) -> list[Entry]:
        """Stage what admission changed elsewhere: the use that a quota counts."""
        return [
            self.store.stage("MODIFIED", storage, obj, before) for storage, obj, before in admission.elsewhere
        ]

    def default(self, kind: Kind, obj: Resource) -> None:
        """Fill in the defaults of the kind, in place."""
        default(kind, obj)
        self.schemas.default(kind, obj)

    def _validate(self, kind: Kind, obj: Resource, old: Resource | None) -> None:
        if kind.storage in STORED_AS:
            causes = self._validate_as_stored(kind, obj, old)
        else:
            causes = [*validate(kind, obj, old), *self.schemas.faults(kind, obj, old)]
        meta = obj["metadata"]
        if old is not None and meta.get("deletionTimestamp") and not old["metadata"].get("deletionTimestamp"):
            text = f'Invalid value: "{meta["deletionTimestamp"]}": field is immutable'
            causes.append(Cause("FieldValueInvalid", text, "metadata.deletionTimestamp"))
        if causes:
            name = obj["metadata"].get("name") or ""
            raise invalid(kind.group, kind.kind, name, causes)

    def _validate_as_stored(self, kind: Kind, obj: Resource, old: Resource | None) -> list[Cause]:
        group, version = STORED_AS[kind.storage]
        kept = self.catalogue.kind(group, kind.kind, version) or kind
        target = kept.api_version
        before = convert(_copied(old), target) if old is not None else None
        return validate(kept, convert(_copied(obj), target), before)

    def _own(
        self, kind: Kind, old: Resource | None, obj: Resource, request: Request, subresource: str
    ) -> None:
        fields = applying.track(
            old,
            obj,
            self.schemas.node(kind),
            request.manager,
            kind.api_version,
            request.now,
            subresource,
            reset=_reset(kind, obj, subresource),
        )
        if fields:
            obj["metadata"]["managedFields"] = fields
        else:
            obj["metadata"].pop("managedFields", None)

    def _check_version(self, kind: Kind, name: str, obj: Resource, found: Stored) -> None:
        given = obj["metadata"].get("resourceVersion") or ""
        if given in {"", "0"}:
            if not strategies.strategy(kind).unconditional:
                cause = Cause(
                    "FieldValueInvalid",
                    "Invalid value: 0x0: must be specified for an update",
                    "metadata.resourceVersion",
                )
                raise invalid(kind.group, kind.kind, name, [cause])
            return
        if given != str(found.rv):
            raise conflict(kind.group, kind.plural, name)


def _reset(kind: Kind, obj: Resource, subresource: str) -> Iterable[str]:
    """Return the top-level fields that a write to this endpoint cannot change, and so nobody comes to own by it."""
    if subresource == "status":
        return [key for key in obj if key not in {"apiVersion", "kind", "metadata", "status"}]
    return ("status",) if "status" in kind.subresources and not subresource else ()


def patched(live: Resource, patch: Any, patch_type: PatchType, node: Callable[[], Any]) -> Resource:
    """Return the object with a json, merge or strategic patch applied; the live one is used up."""
    match patch_type:
        case "json":
            result = patches.json_patch(live, patch)
        case "merge":
            result = patches.merge_patch(live, patch)
        case "strategic":
            result = patches.strategic_patch(live, patch, node())
        case _:
            raise bad_request(f"unknown patch type {patch_type}")
    return result


def unchanged(new: Resource, old: Resource) -> bool:
    """Whether a write would leave the object as it is, but for the times in its managedFields."""
    if new == old:
        return True
    meta, before = new["metadata"], old["metadata"]
    if any(new.get(key) != old.get(key) for key in new.keys() | old.keys() if key != "metadata"):
        return False
    for key in meta.keys() | before.keys():
        if key != "managedFields" and meta.get(key) != before.get(key):
            return False
    return _timeless(meta.get("managedFields")) == _timeless(before.get("managedFields"))


def _timeless(fields: Any) -> list[dict[str, Any]]:
    return [{key: value for key, value in entry.items() if key != "time"} for entry in fields or ()]


def finished_by(kind: Kind, new: Resource, old: Resource) -> bool:
    """Whether an update finishes a delete: it is being deleted, without grace, and nothing holds it back any more."""
    meta = new["metadata"]
    if not old["metadata"].get("deletionTimestamp") or meta.get("finalizers"):
        return False
    if kind.storage == ("", "namespaces"):
        return not (new.get("spec") or {}).get("finalizers")
    if not old["metadata"].get("finalizers"):
        return False
    return meta.get("deletionGracePeriodSeconds") in {0, None}


def stamp(now: datetime) -> str:
    """Return a time as metav1.Time writes it."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def _copied(obj: Resource) -> Resource:
    return {
        **obj,
        "metadata": dict(obj["metadata"]),
        **{key: dict(obj[key]) for key in ("spec", "status") if isinstance(obj.get(key), dict)},
    }


def same_kind(kind: Kind, obj: Resource) -> None:
    """Refuse (400) an object that says it is of another kind or version; fill in what it does not say."""
    api_version = obj.setdefault("apiVersion", kind.api_version)
    if api_version != kind.api_version:
        raise bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({kind.api_version})"
        )
    if obj.setdefault("kind", kind.kind) != kind.kind:
        raise bad_request(
            f'{obj["kind"]} in version "{kind.version}" cannot be handled as a {kind.kind}: '
            f"the kind in the data ({obj['kind']}) does not match the expected kind ({kind.kind})"
        )
    if obj.get("metadata") is None:
        obj["metadata"] = {}


def _settle_namespace(kind: Kind, namespace: str, obj: Resource) -> None:
    meta = obj["metadata"]
    given = meta.get("namespace") or ""
    if not kind.namespaced:
        meta.pop("namespace", None)
    elif not given:
        meta["namespace"] = namespace
    elif given != namespace:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def _same_name(kind: Kind, namespace: str, name: str, obj: Resource) -> None:
    meta = obj["metadata"]
    given = meta.get("name") or ""
    if not given:
        raise bad_request(
            f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )
    if given != name:
        raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")
    there = meta.get("namespace") or ""
    if kind.namespaced and there and there != namespace:
        raise bad_request(
            f"the namespace of the object ({there}) does not match the namespace on the request ({namespace})"
        )


def _check_uid(kind: Kind, namespace: str, name: str, obj: Resource, old: Resource) -> None:
    given, actual = obj["metadata"].get("uid") or "", old["metadata"].get("uid") or ""
    if given and given != actual:
        raise conflict(
            kind.group,
            kind.plural,
            name,
            f"StorageError: invalid object, Code: 4, Key: {strategies.registry_key(kind, namespace, name)}, "
            "ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: "
            f"UID in precondition: {given}, UID in object meta: {actual}",
        )
