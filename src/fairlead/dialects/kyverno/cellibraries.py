"""What Kyverno's CEL policies may use beyond Kubernetes': resources, HTTP, images, the global context, and small helpers.

Declares the environments and gives the names that belong to one subject. What lies in the cluster comes from the view; what
only the world knows is raised as Lacking. Nothing here fetches, and no clock is read: time is the surroundings'.
Source: kyverno/sdk cel/libs, kyverno/kyverno pkg/cel/libs.
"""

from __future__ import annotations

from typing import Any

from fairlead.dialects.kyverno import calls
from fairlead.dialects.kyverno.cellibraries_images import IMAGES, Pictures
from fairlead.dialects.kyverno.cellibraries_texts import TEXTS, Json, Yaml
from fairlead.dialects.kyverno.contexts import Context, Unresolved
from fairlead.judge.constraints import labels_of
from fairlead.judge.expressions_requests import request_of, surroundings_of
from fairlead.judge.subjects import Subject
from fairlead.judge.surroundings import Lacking, Surroundings
from fairlead.tongues import cel
from fairlead.tongues.cel import kubernetes, syntax, types
from fairlead.tongues.jmespath import Failed, Missing, Moment, drawing, to_json
from fairlead.words import Need, Ref, Resource

MOMENT = "__moment"
"""The hidden name through which functions without a receiver reach the surroundings."""


def asked(around: Surroundings, need: Need, whose: str) -> Any:
    """Return the answer to a Need. Raises Lacking where there is none yet, cel.Failed where it is an error."""
    try:
        return around.ask(need)
    except Lacking:
        raise
    except Exception as error:  # noqa: BLE001  the answer to a Need may be any error
        raise cel.Failed(f"{whose}: {error}") from None


class Resources:
    """The variable `resource`: what is in the cluster. `space` is the namespace that a namespaced policy is held to."""

    __slots__ = ("_around", "_space")
    cel_type = types.opaque("kyverno.resource.Context")

    def __init__(self, around: Surroundings, space: str = "") -> None:
        self._around = around
        self._space = space

    def _kind(self, api_version: str, plural: str) -> tuple[str, str]:
        group = api_version.rpartition("/")[0]
        return group, self._around.kinds.kind(group, plural)

    def get(self, api_version: str, plural: str, namespace: str, name: str) -> Resource:
        """Return an object."""
        group, kind = self._kind(api_version, plural)
        if self._space and namespace != self._space:
            raise cel.Failed(f"failed to get resource: namespace {namespace} is not the policy's")
        found = self._around.view.get(group, kind, namespace, name) if kind else None
        if found is None:
            resource = f"{plural}.{group}" if group else plural
            raise cel.Failed(f'failed to get resource: {resource} "{name}" not found')
        return found

    def list(
        self, api_version: str, plural: str, namespace: str, labels: dict[str, str] | None = None
    ) -> Resource:
        """Return a list of objects, of one namespace or of all ("")."""
        group, kind = self._kind(api_version, plural)
        if not kind:
            resource = f"{plural}.{group}" if group else plural
            raise cel.Failed(f"failed to list resource: {resource} resource not found")
        if self._space and namespace != self._space:
            raise cel.Failed(f"failed to list resource: namespace {namespace} is not the policy's")
        items = list(self._around.view.list(group, kind, namespace or None))
        if labels:
            items = [one for one in items if labels.items() <= labels_of(one).items()]
        return {"apiVersion": api_version, "kind": f"{kind}List", "metadata": {}, "items": items}

    def post(self, api_version: str, plural: str, namespace: str, data: Any) -> Any:
        """Return what the API answers to a POST: a review's answer."""
        group, _, version = api_version.rpartition("/")
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        inside = f"/namespaces/{namespace}" if namespace else ""
        need = Need(
            "kubernetes.post",
            Ref("", "", "", f"{root}{inside}/{plural}"),
            (("data", to_json(cel.to_json(data))),),
        )
        return asked(self._around, need, "failed to create resource")

    def to_gvr(self, api_version: str, kind: str) -> Gvr:
        """Return the resource that a kind is served as."""
        return Gvr(api_version, self._around.kinds.plural(api_version.rpartition("/")[0], kind))

    def own(self) -> str:
        """Return the policy's namespace. Raises Failed when the policy has none."""
        if not self._space:
            raise cel.Failed("no such overload")
        return self._space


class Gvr:
    """A resource of the API: apiVersion and plural."""

    __slots__ = ("api_version", "plural")
    cel_type = types.opaque("kyverno.resource.GVR")

    def __init__(self, api_version: str, plural: str) -> None:
        self.api_version = api_version
        self.plural = plural


_R = "kyverno.resource.Context"
_G = "kyverno.resource.GVR"
_LABELS = "map(string, string)"
RESOURCES = cel.Library(
    "kyverno.resource",
    functions={
        f".Get({_R}, string, string, string, string) dyn": Resources.get,
        f".Get({_R}, string, string, string, string, list(string)) dyn": lambda me, a, p, n, name, _: me.get(
            a, p, n, name
        ),
        f".Get({_R}, {_G}, string, string) dyn": lambda me, gvr, n, name: me.get(
            gvr.api_version, gvr.plural, n, name
        ),
        f".Get({_R}, string, string, string) dyn": lambda me, a, p, name: me.get(a, p, me.own(), name),
        f".Get({_R}, {_G}, string) dyn": lambda me, gvr, name: me.get(
            gvr.api_version, gvr.plural, me.own(), name
        ),
        f".List({_R}, string, string, string) dyn": Resources.list,
        f".List({_R}, string, string, string, {_LABELS}) dyn": Resources.list,
        f".List({_R}, {_G}, string) dyn": lambda me, gvr, n: me.list(gvr.api_version, gvr.plural, n),
        f".List({_R}, {_G}, string, {_LABELS}) dyn": lambda me, gvr, n, labels: me.list(
            gvr.api_version, gvr.plural, n, labels
        ),
        f".List({_R}, string, string) dyn": lambda me, a, p: me.list(a, p, me.own()),
        f".List({_R}, string, string, {_LABELS}) dyn": lambda me, a, p, labels: me.list(
            a, p, me.own(), labels
        ),
        f".List({_R}, {_G}) dyn": lambda me, gvr: me.list(gvr.api_version, gvr.plural, me.own()),
        f".Post({_R}, string, string, string, map(string, dyn)) dyn": Resources.post,
        f".Post({_R}, string, string, map(string, dyn)) dyn": lambda me, a, p, data: me.post(a, p, "", data),
        f".ToGVR({_R}, string, string) {_G}": Resources.to_gvr,
    },
)


class Http:
    """The variable `http`: requests that only the world can answer."""

    __slots__ = ("_around", "_bundle")
    cel_type = types.opaque("kyverno.http.Context")

    def __init__(self, around: Surroundings, bundle: str = "") -> None:
        self._around = around
        self._bundle = bundle

    def call(self, method: str, url: str, data: Any = None, headers: dict[str, str] | None = None) -> Any:
        """Return the answer to a request."""
        detail = [("method", method), ("data", "" if data is None else to_json(cel.to_json(data)))]
        if headers:
            pairs = [{"key": key, "value": value} for key, value in headers.items()]
            detail.append(("headers", to_json(pairs)))
        if self._bundle:
            detail.append(("caBundle", self._bundle))
        return asked(self._around, Need("http", Ref("", "", "", url), tuple(detail)), "request failed")

    def client(self, bundle: str) -> Http:
        """Return the same with certificates of one's own."""
        return Http(self._around, bundle)


_H = "kyverno.http.Context"
HTTP = cel.Library(
    "kyverno.http",
    functions={
        f".Get({_H}, string) dyn": lambda me, url: me.call("GET", url),
        f".Get({_H}, string, {_LABELS}) dyn": lambda me, url, headers: me.call("GET", url, None, headers),
        f".Post({_H}, string, dyn) dyn": lambda me, url, data: me.call("POST", url, data),
        f".Post({_H}, string, dyn, {_LABELS}) dyn": lambda me, url, data, headers: me.call(
            "POST", url, data, headers
        ),
        f".Put({_H}, string, dyn) dyn": lambda me, url, data: me.call("PUT", url, data),
        f".Put({_H}, string, dyn, {_LABELS}) dyn": lambda me, url, data, headers: me.call(
            "PUT", url, data, headers
        ),
        f".Client({_H}, string) {_H}": Http.client,
    },
)


class Globals:
    """The variable `globalContext`: entries that a GlobalContextEntry keeps."""

    __slots__ = ("_around", "_subject")
    cel_type = types.opaque("kyverno.globalcontext.Context")

    def __init__(self, subject: Subject, around: Surroundings) -> None:
        self._subject = subject
        self._around = around

    def get(self, name: str, projection: str = "") -> Any:
        """Return an entry's data, or null when there is no such entry."""
        if self._around.view.get(calls.GLOBAL_GROUP, calls.GLOBAL_KIND, "", name) is None:
            return None
        reference = f"{name}.{projection}" if projection else name
        try:
            found = calls.global_entry(Context(self._subject, self._around), reference)
        except Unresolved as error:
            raise cel.Failed(f"failed to get global reference: {error}") from None
        if isinstance(found, Missing):
            raise cel.Failed(f"failed to get global reference: {found.reason}")
        return found


_C = "kyverno.globalcontext.Context"
GLOBALS = cel.Library(
    "kyverno.globalcontext",
    functions={
        f".{name}({_C}, {params}) dyn": Globals.get
        for name in ("Get", "get")
        for params in ("string", "string, string")
    },
)


class Generator:
    """The variable `generator`: collects what a GeneratingPolicy generates, each with the namespace it is to be in."""

    __slots__ = ("made",)
    cel_type = types.opaque("kyverno.generator.Context")

    def __init__(self) -> None:
        self.made: list[tuple[str, Resource]] = []

    def apply(self, namespace: str, resources: Any) -> bool:
        """Note objects, or lists of them."""
        for one in cel.to_json(resources):
            if not isinstance(one, dict):
                raise cel.Failed("failed to generate resources: each must be an object")
            items = one.get("items") if str(one.get("kind", "")).endswith("List") else None
            for item in items if isinstance(items, list) else [one]:
                self.made.append((namespace, item))
        return True


GENERATOR = cel.Library(
    "kyverno.generator",
    functions={".Apply(kyverno.generator.Context, string, list(dyn)) bool": Generator.apply},
)


class Clock:
    """What functions without a receiver ask: the time, and numbers that look random."""

    __slots__ = ("_around", "_moment")
    cel_type = types.opaque("kyverno.moment")

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._moment: Moment | None = None

    def now(self) -> Any:
        """Return the time."""
        return cel.Timestamp(int(self._around.now.timestamp() * 1_000_000) * 1_000)

    def random(self, pattern: str = "[0-9a-z]{8}") -> str:
        """Return a text that the pattern matches."""
        if self._moment is None:
            self._moment = Moment(self._around.now, self._around.seed)
        try:
            return drawing.draw(pattern, self._moment)
        except Failed as error:
            raise cel.Failed(str(error)) from None


def _hidden(function: str, space: str = "") -> Any:
    """Return the macro that turns `f(...)` or `space.f(...)` into a call with the hidden name in front."""

    def expand(pos: int, target: Any, args: list[Any]) -> Any:
        if space and not (isinstance(target, syntax.Ident) and target.name == space):
            return None
        return syntax.Call(pos, function, None, [syntax.Ident(pos, MOMENT), *args])

    return expand


MOMENTS = cel.Library(
    "kyverno.moment",
    functions={
        "kyverno.now(kyverno.moment) timestamp": Clock.now,
        "kyverno.random(kyverno.moment) string": Clock.random,
        "kyverno.random(kyverno.moment, string) string": Clock.random,
    },
    macros={
        ("now", 0, False): _hidden("kyverno.now"),
        ("now", 0, True): _hidden("kyverno.now", "time"),
        ("random", 0, False): _hidden("kyverno.random"),
        ("random", 1, False): _hidden("kyverno.random"),
        ("random", 0, True): _hidden("kyverno.random", "random"),
        ("random", 1, True): _hidden("kyverno.random", "random"),
    },
)

_NAMES = {
    "object": types.DYN,
    "oldObject": types.DYN,
    "request": types.DYN,
    "namespaceObject": types.DYN,
    "params": types.DYN,
    "authorizer": types.DYN,
    "authorizer.requestResource": types.DYN,
    "exceptions": types.DYN,
    "images": types.DYN,
    "resource": Resources.cel_type,
    "http": Http.cel_type,
    "globalContext": Globals.cel_type,
    "image": Pictures.cel_type,
    "imageData": Pictures.cel_type,
    "json": Json.cel_type,
    "yaml": Yaml.cel_type,
    MOMENT: Clock.cel_type,
}

ENVIRONMENT = cel.Environment(
    variables=_NAMES,
    libraries=(*kubernetes.LIBRARIES, RESOURCES, HTTP, GLOBALS, IMAGES, TEXTS, MOMENTS),
)
"""What a ValidatingPolicy, a DeletingPolicy and exceptions may use."""

MUTATING = ENVIRONMENT.extend(libraries=kubernetes.MUTATION)
"""What a MutatingPolicy may use: `Object{}` and `JSONPatch{}` as well."""

GENERATING = ENVIRONMENT.extend(variables={"generator": Generator.cel_type}, libraries=(GENERATOR,))
"""What a GeneratingPolicy may use: `generator` as well."""

_KEPT = "kyverno.celpolicies"
_JSON = Json()
_YAML = Yaml()


def bindings_of(subject: Subject, around: Surroundings, space: str = "") -> dict[str, Any]:
    """Return the names that one subject gives expressions; `space` is the namespace of a namespaced policy.

    What policies of one subject share is made once: the last subject's is kept in the moment's memo.
    """
    kept = around.memo.get(_KEPT)
    if kept is None or kept[0] is not subject or kept[1] is not around:
        kept = around.memo[_KEPT] = (subject, around, _names_of(subject, around))
    found: dict[str, Any] = kept[2].copy()
    if space:
        found["resource"] = Resources(around, space)
    return found


def _names_of(subject: Subject, around: Surroundings) -> dict[str, Any]:
    found = surroundings_of(subject, around)
    pictures = Pictures(subject, around)
    found["request"] = cel.Lazy(lambda: request_of(subject, whole=True))
    found["images"] = cel.Lazy(pictures.images)
    found["image"] = found["imageData"] = pictures
    found["resource"] = Resources(around)
    found["http"] = Http(around)
    found["globalContext"] = Globals(subject, around)
    found["json"] = _JSON
    found["yaml"] = _YAML
    found["exceptions"] = {"allowedImages": [], "allowedValues": []}
    found[MOMENT] = Clock(around)
    return found
