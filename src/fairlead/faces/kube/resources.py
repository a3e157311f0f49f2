"""The verbs on resources: from a request to the keeper and back to an answer.

The rules of the API are in keep; here are only parameters, bodies, forms of answers and the order of the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from fairlead.faces.kube import answers, bodies, reviews, watches
from fairlead.faces.kube.answers import Columns
from fairlead.faces.kube.calls import Answer, Call, Reply, Stream
from fairlead.faces.kube.negotiating import JSON, YAML, As, Wanted, wanted
from fairlead.faces.kube.paths import Target
from fairlead.faces.kube.site import Site
from fairlead.faces.kube.watches import Encodings, Watch, default_seconds
from fairlead.keep.authorizing import Question
from fairlead.keep.entries import Outcome
from fairlead.keep.errors import Cause, Refusal, bad_request, invalid, method_not_allowed
from fairlead.keep.kinds import Kind, subresource
from fairlead.keep.listing import parse_rv, too_large_version
from fairlead.keep.selecting import Fields
from fairlead.keep.strategies import custom
from fairlead.keep.worlds import World
from fairlead.tongues import selectors
from fairlead.tongues.selectors import Expr
from fairlead.words import Resource

_ONE: frozenset[As] = frozenset({"", "Table", "PartialObjectMetadata"})
_MANY: frozenset[As] = frozenset({"", "Table", "PartialObjectMetadataList"})
_EVENTS: frozenset[As] = frozenset({"", "Table", "PartialObjectMetadata"})
_PLAIN: frozenset[As] = frozenset({""})
_STRICT = "strict decoding error: "
_ASKED_ONLY = frozenset({"create"})
_DELETE_OPTIONS = Kind("", "v1", "DeleteOptions", "deleteoptions", verbs=_ASKED_ONLY)
_BINDING = Kind("", "v1", "Binding", "bindings", verbs=_ASKED_ONLY)
_EVICTION = Kind("policy", "v1", "Eviction", "evictions", verbs=_ASKED_ONLY)
_TOKEN_REQUEST = Kind("authentication.k8s.io", "v1", "TokenRequest", "tokenrequests", verbs=_ASKED_ONLY)
_BUILT_IN_PATCHES = tuple(bodies.PATCH_TYPES)
_CUSTOM_PATCHES = tuple(name for name in bodies.PATCH_TYPES if "strategic" not in name)


class Resources:
    """Serves every kind of the catalogue, and the subresources that are objects: status, scale, and requests."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._encodings = Encodings()

    async def serve(self, call: Call, target: Target, kind: Kind, verb: str) -> Reply:
        """Answer a request whose caller may do it."""
        namespace = target.namespace or ""
        if target.subresource:
            return await self._subresource(call, target, kind, verb)
        if verb not in kind.verbs and not (verb == "get" and "list" in kind.verbs):
            raise method_not_allowed()
        match verb:
            case "get":
                return self._get(call, kind, namespace, target.name)
            case "list":
                return self._list(call, kind, target.namespace)
            case "watch":
                return self._watch(call, kind, target)
            case "create":
                return await self._create(call, target, kind)
            case "update":
                return await self._update(call, target, kind)
            case "patch":
                return await self._patch(call, target, kind)
            case "delete":
                return await self._delete(call, target, kind)
            case "deletecollection":
                return await self._delete_collection(call, target, kind)
        raise method_not_allowed()

    # Reading

    def _columns(self, kind: Kind) -> Callable[[], Columns]:
        return lambda: Columns(self._printed(kind), self.site.now())

    def _printed(self, kind: Kind) -> Sequence[Mapping[str, Any]] | None:
        """Return the columns that a custom resource's definition asks for; None for a built-in kind."""
        if not custom(kind):
            return None
        name = f"{kind.plural}.{kind.group}"
        definition = self.site.find("apiextensions.k8s.io", "customresourcedefinitions", "", name)
        versions = definition["spec"]["versions"] if definition is not None else ()
        columns: list[Mapping[str, Any]] = next(
            (one.get("additionalPrinterColumns") or [] for one in versions if one["name"] == kind.version), []
        )
        return columns

    def _get(self, call: Call, kind: Kind, namespace: str, name: str) -> Answer:
        form = wanted(call.headers.get("accept", ""), _ONE)
        self._check_future(call)
        stored = self.site.world.get(kind, namespace, name)
        return answers.one(call, stored.body, form, kind, self._columns(kind))

    def _check_future(self, call: Call) -> None:
        asked = parse_rv(call.get("resourceVersion"))
        if asked > self.site.world.rv:
            raise too_large_version(asked, self.site.world.rv)

    def _list(self, call: Call, kind: Kind, namespace: str | None) -> Answer:
        form = wanted(call.headers.get("accept", ""), _MANY)
        limit = call.number("limit") or 0
        labels, fields = selection(call)
        found = self.site.world.list(
            kind,
            namespace,
            labels,
            fields,
            limit,
            call.get("continue"),
            call.get("resourceVersion"),
            call.get("resourceVersionMatch"),
        )
        return answers.listing(call, found, form, kind, self._columns(kind), self.site.keeper.objects)

    def _watch(self, call: Call, kind: Kind, target: Target) -> Stream:
        form = wanted(call.headers.get("accept", ""), _EVENTS)
        labels, fields = selection(call)
        if target.name:
            fields = (*fields, ("metadata.name", "=", target.name))
        start = parse_rv(call.get("resourceVersion"))
        initial = _initial(call)
        seconds = call.number("timeoutSeconds")
        watch = Watch(
            kind=kind,
            namespace=target.namespace,
            labels=labels,
            fields=self.site.world.fields(kind, fields),
            start=None if initial or (initial is None and start == 0) else start or self.site.world.rv,
            bookmarks=call.flag("allowWatchBookmarks"),
            initial_end=bool(initial),
            seconds=float(seconds) if seconds else default_seconds(),
            wanted=form,
            shape=f"{form.media} {form.shape} {form.version} {call.get('includeObject')}",
            form=answers.shaper(call, form, kind, self._columns(kind)),
            frame=_frame(form),
        )
        chunks = watches.events(self.site.keeper, watch, self._encodings)
        return Stream(chunks, YAML if form.media == YAML else JSON)

    # Writing

    async def _write(self, call: Call, step: Callable[[World], Outcome]) -> Outcome:
        outcome = await self.site.keeper.write(step)
        call.warnings.extend(outcome.warnings)
        return outcome

    async def _body(self, call: Call, kind: Kind) -> tuple[Any, list[str]]:
        """Return the decoded body and the keys that it has twice."""
        text = await call.body()
        content_type = call.headers.get("content-type", "")
        accept_protobuf = not custom(kind) or not kind.stored
        obj = bodies.decode(text, content_type, kind.kind, accept_protobuf=accept_protobuf)
        return obj, bodies.repeated(text, content_type, obj)

    def _tell_twice(self, call: Call, twice: Sequence[str], kind: Kind, body: Any, mode: str) -> None:
        """Warn of the keys that a body has twice; in mode Strict refuse it, together with its unknown fields."""
        if not twice or mode == "Ignore":
            return
        if mode != "Strict":
            call.warnings.extend(twice)
            return
        told = ", ".join(twice)
        try:
            self.site.world.schemas.check(kind, orjson.loads(orjson.dumps(body)), "Strict")
        except Refusal as refusal:
            if _STRICT not in refusal.message:
                raise
            raise bad_request(f"{refusal.message}, {told}") from None
        raise bad_request(
            f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {_STRICT}{told}'
        )

    async def _create(self, call: Call, target: Target, kind: Kind) -> Answer:
        if target.name or (kind.namespaced and target.namespace is None):
            raise method_not_allowed()
        shapes = _PLAIN if reviews.is_review(kind) else _ONE
        form = wanted(call.headers.get("accept", ""), shapes)
        request = self.site.request(call, "CreateOptions")
        body, twice = await self._body(call, kind)
        self._tell_twice(call, twice, kind, body, request.field_validation)
        namespace = target.namespace or ""
        if reviews.is_review(kind):
            obj = self._checked(call, kind, body, request.field_validation)
            answer = reviews.answer(self.site, kind, namespace, obj, call.user)
            return answers.document(call, answer, form, 201)
        if kind.storage == ("", "bindings"):
            return await self._bind(call, namespace, "", body)
        question = self._question(call, target, kind, "create")

        def step(world: World) -> Outcome:
            outcome = world.create(kind, namespace, body, request)
            self.site.access.guard_grant(question, outcome.object)
            return outcome

        outcome = await self._write(call, step)
        return self._written(call, kind, outcome, form)

    async def _update(self, call: Call, target: Target, kind: Kind) -> Answer:
        if not target.name:
            raise method_not_allowed()
        form = wanted(call.headers.get("accept", ""), _ONE)
        request = self.site.request(call, "UpdateOptions")
        body, twice = await self._body(call, kind)
        self._tell_twice(call, twice, kind, body, request.field_validation)
        namespace, name, sub = target.namespace or "", target.name, target.subresource
        judged = self._judged(self._question(call, target, kind, "update"))
        outcome = await self._write(
            call, lambda world: judged(world.update(kind, namespace, name, body, request, sub))
        )
        return self._written(call, kind, outcome, form)

    async def _patch(self, call: Call, target: Target, kind: Kind) -> Answer:
        if not target.name:
            raise method_not_allowed()
        form = wanted(call.headers.get("accept", ""), _ONE)
        accepted = _CUSTOM_PATCHES if custom(kind) else _BUILT_IN_PATCHES
        patch_type = bodies.patch_type(call.headers.get("content-type", ""), accepted)
        request = self.site.request(call, "PatchOptions", patch=True, apply=patch_type == "apply")
        patch = bodies.decode_patch(await call.body(), patch_type)
        namespace, name, sub = target.namespace or "", target.name, target.subresource
        judged = self._judged(self._question(call, target, kind, "patch"))
        outcome = await self._write(
            call, lambda world: judged(world.patch(kind, namespace, name, patch, patch_type, request, sub))
        )
        return self._written(call, kind, outcome, form)

    async def _delete(self, call: Call, target: Target, kind: Kind) -> Answer:
        form = wanted(call.headers.get("accept", ""), _ONE)
        options = await self._delete_options(call)
        request = self.site.request(call, "DeleteOptions")
        if options.get("dryRun"):
            request = replace(request, dry_run=True)
        namespace, name = target.namespace or "", target.name
        outcome = await self._write(call, lambda world: world.delete(kind, namespace, name, options, request))
        if outcome.object.get("kind") == "Status" and "status" in outcome.object:
            return answers.document(call, outcome.object, Wanted(form.media))
        return answers.one(call, outcome.body, form, kind, self._columns(kind))

    async def _delete_collection(self, call: Call, target: Target, kind: Kind) -> Answer:
        if kind.namespaced and target.namespace is None:
            raise method_not_allowed()
        form = wanted(call.headers.get("accept", ""), _MANY)
        options = await self._delete_options(call)
        request = self.site.request(call, "DeleteOptions")
        if options.get("dryRun"):
            request = replace(request, dry_run=True)
        labels, fields = selection(call)
        namespace = target.namespace or ""
        outcome = await self._write(
            call,
            lambda world: world.delete_collection(kind, namespace, options, request, labels, fields),
        )
        return answers.document(call, outcome.object, Wanted(form.media))

    async def _delete_options(self, call: Call) -> dict[str, Any]:
        text = await call.body()
        options: dict[str, Any] = {}
        if text.strip():
            found = bodies.decode(text, call.headers.get("content-type", ""), "DeleteOptions")
            options, _ = self.site.world.schemas.check(_DELETE_OPTIONS, found, "Ignore")
        else:
            grace = call.number("gracePeriodSeconds")
            if grace is not None:
                options["gracePeriodSeconds"] = grace
            if "orphanDependents" in call.query:
                options["orphanDependents"] = call.flag("orphanDependents")
            if call.get("propagationPolicy"):
                options["propagationPolicy"] = call.get("propagationPolicy")
            if call.query.get("dryRun"):
                options["dryRun"] = call.query["dryRun"]
        return options

    def _written(self, call: Call, kind: Kind, outcome: Outcome, form: Wanted) -> Answer:
        status = 201 if outcome.created else 200
        return answers.one(call, outcome.body, form, kind, self._columns(kind), status)

    def _question(self, call: Call, target: Target, kind: Kind, verb: str) -> Question:
        return Question(
            user=call.user,
            verb=verb,
            group=kind.group,
            resource=kind.plural,
            subresource=target.subresource,
            namespace=target.namespace or "",
            name=target.name,
        )

    def _judged(self, question: Question) -> Callable[[Outcome], Outcome]:
        """Return what a staged write must pass: an update that creates needs the right to create, too.

        A Refusal here takes the write back.
        """

        def judge(outcome: Outcome) -> Outcome:
            if outcome.created:
                self.site.access.require(replace(question, verb="create"))
            if not question.subresource:
                self.site.access.guard_grant(question, outcome.object)
            return outcome

        return judge

    def _checked(self, call: Call, kind: Kind, body: Any, mode: Any) -> Resource:
        if isinstance(body, dict):
            body.setdefault("apiVersion", kind.api_version)
            body.setdefault("kind", kind.kind)
            if body["apiVersion"] != kind.api_version:
                raise bad_request(
                    f"the API version in the data ({body['apiVersion']}) does not match the expected API version "
                    f"({kind.api_version})"
                )
            if body["kind"] != kind.kind:
                raise bad_request(
                    f'{body["kind"]} in version "{kind.version}" cannot be handled as a {kind.kind}'
                )
        obj, warnings = self.site.world.schemas.check(kind, body, mode)
        call.warnings.extend(warnings)
        obj.setdefault("metadata", {})
        return obj

    # Subresources that are objects or requests

    async def _subresource(self, call: Call, target: Target, kind: Kind, verb: str) -> Reply:
        spoken = subresource(kind, target.subresource)
        if verb not in spoken.verbs:
            raise method_not_allowed()
        namespace, name = target.namespace or "", target.name
        match target.subresource:
            case "token":
                return await self._token(call, namespace, name)
            case "binding":
                return await self._bind(call, namespace, name, (await self._body(call, _BINDING))[0])
            case "eviction":
                return await self._evict(call, kind, namespace, name)
        if verb == "get":
            form = wanted(call.headers.get("accept", ""), _ONE)
            if target.subresource == "scale":
                scale = self.site.world.scale(kind, namespace, name)
                return answers.document(call, scale, Wanted(form.media))
            stored = self.site.world.get(kind, namespace, name)
            return answers.one(call, stored.body, form, kind, self._columns(kind))
        if verb == "update":
            return await self._update(call, target, kind)
        return await self._patch(call, target, kind)

    async def _bind(self, call: Call, namespace: str, name: str, body: Any) -> Answer:
        """Carry out a Binding, POSTed to bindings or to the pod that it names."""
        pods = self.site.world.catalogue.served("", "v1", "pods")
        assert pods is not None
        request = self.site.request(call, "CreateOptions")
        obj = self._checked(call, _BINDING, body, request.field_validation)
        own = str(obj["metadata"].get("name") or "")
        if name and own and own != name:
            raise bad_request("name in URL does not match name in Binding object")
        pod = name or own
        outcome = await self._write(
            call, lambda world: world.create(pods, namespace, obj, request, pod, "binding")
        )
        return answers.document(call, outcome.object, Wanted(), 201)

    async def _evict(self, call: Call, kind: Kind, namespace: str, name: str) -> Answer:
        request = self.site.request(call, "CreateOptions")
        body, _ = await self._body(call, _EVICTION)
        obj = self._checked(call, _EVICTION, body, request.field_validation)
        own = str(obj["metadata"].get("name") or "")
        if own and own != name:
            raise bad_request("name in URL does not match name in Eviction object")
        outcome = await self._write(
            call, lambda world: world.create(kind, namespace, obj, request, name, "eviction")
        )
        return answers.document(call, outcome.object, Wanted(), 201)

    async def _token(self, call: Call, namespace: str, name: str) -> Answer:
        form = wanted(call.headers.get("accept", ""), _PLAIN)
        request = self.site.request(call, "CreateOptions")
        body, _ = await self._body(call, _TOKEN_REQUEST)
        checked = self._checked(call, _TOKEN_REQUEST, body, request.field_validation)
        made = reviews.token_request(
            self.site, namespace, name, checked, dry_run=request.dry_run, now=request.now
        )
        return answers.document(call, made, form, 201)


def selection(call: Call) -> tuple[Expr | None, Fields]:
    """Return the label and field selectors of a request. Raises the 400 Refusal for those that cannot be read."""
    text, field_text = call.get("labelSelector"), call.get("fieldSelector")
    try:
        return (
            selectors.parse(text) if text else None,
            selectors.parse_fields(field_text) if field_text else (),
        )
    except ValueError as fault:
        raise bad_request(str(fault)) from None


def _initial(call: Call) -> bool | None:
    """Return sendInitialEvents, None when it is absent. Refuses (422) combinations that Kubernetes refuses."""
    match_text = call.get("resourceVersionMatch")
    if "sendInitialEvents" not in call.query:
        if match_text:
            raise _bad_list_option(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )
        return None
    if match_text != "NotOlderThan":
        raise _bad_list_option(
            "resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        )
    return call.flag("sendInitialEvents")


def _bad_list_option(field: str, why: str) -> Refusal:
    cause = Cause("FieldValueForbidden", f"Forbidden: {why}", field)
    return invalid("meta.k8s.io", "ListOptions", "", [cause])


def _frame(form: Wanted) -> Callable[[bytes], bytes]:
    if form.media == YAML:
        return lambda event: answers.to_yaml(event) + b"---\n"
    return lambda event: event + b"\n"
