"""Everything that is served beside resources: discovery, OpenAPI, version, health, metrics, keys."""

from __future__ import annotations

import hashlib
import platform
import resource
import time
from typing import Any

import orjson

from fairlead import __version__
from fairlead.faces.kube import answers, swagger
from fairlead.faces.kube.accounttokens import ISSUER
from fairlead.faces.kube.calls import Answer, Call
from fairlead.faces.kube.negotiating import JSON, As, Wanted, media, wanted
from fairlead.faces.kube.site import Site
from fairlead.keep import discovery, openapi
from fairlead.keep.errors import method_not_allowed, no_such_path, not_acceptable
from fairlead.keep.kinds import Catalogue

KUBERNETES = ("1", "32")
"""The minor version of Kubernetes whose API this is."""
_PLAIN: frozenset[As] = frozenset({""})
_DISCOVERY: frozenset[As] = frozenset({"", "APIGroupDiscoveryList"})
_HEALTH = ("ping", "store", "controllers")
_STARTED = time.time()


class Documents:
    """Answers GET on every path that is not a resource's."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._described: dict[str, bytes] = {}
        self._generation = -1

    def serve(self, call: Call, segments: list[str]) -> Answer:
        """Return the document; Refusal 404 where there is none."""
        answer = self._find(call, [part for part in segments if part])
        if answer is None:
            raise no_such_path()
        if call.method not in {"GET", "HEAD"}:
            raise method_not_allowed()
        return answer

    def _find(self, call: Call, parts: list[str]) -> Answer | None:
        match parts:
            case []:
                return answers.document(call, {"paths": self._paths()})
            case ["api"]:
                return self._root(call, core=True)
            case ["apis"]:
                return self._root(call, core=False)
            case ["api", name]:
                return self._document(call, discovery.api_resource_list(self._catalogue, "", name))
            case ["apis", group]:
                return self._document(call, discovery.api_group(self._catalogue, group))
            case ["apis", group, name]:
                return self._document(call, discovery.api_resource_list(self._catalogue, group, name))
            case ["version"]:
                return answers.document(call, version())
            case ["healthz" | "livez" | "readyz" as check, *names]:
                return self._health(call, check, names)
            case ["metrics"]:
                return self._metrics()
            case [".well-known", "openid-configuration"]:
                return answers.document(call, self._openid())
            case ["openid", "v1", "jwks"]:
                answer = answers.document(call, self._site.issuer.key_set())
                answer.content_type = "application/jwk-set+json"
                return answer
            case ["openapi", *rest]:
                return self._openapi(call, rest)
        return None

    @property
    def _catalogue(self) -> Catalogue:
        return self._site.world.catalogue

    def _document(self, call: Call, content: dict[str, Any] | None) -> Answer | None:
        if content is None:
            return None
        return answers.document(call, content, wanted(call.headers.get("accept", ""), _PLAIN))

    def _root(self, call: Call, *, core: bool) -> Answer:
        form = wanted(call.headers.get("accept", ""), _DISCOVERY)
        if form.shape:
            content = discovery.aggregated(self._catalogue, core=core, version=form.version)
            answer = answers.document(call, content, Wanted(form.media))
            answer.content_type = (
                f"application/json;g=apidiscovery.k8s.io;v={form.version};as=APIGroupDiscoveryList"
            )
            return _tagged(call, answer, "Accept")
        if core:
            return answers.document(call, discovery.api_versions(self._site.address), form)
        return answers.document(call, discovery.api_group_list(self._catalogue), form)

    def _paths(self) -> list[str]:
        served = {f"/apis/{kind.api_version}" for kind in self._catalogue.all() if kind.group}
        groups = {f"/apis/{kind.group}" for kind in self._catalogue.all() if kind.group}
        rest = {"/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"}
        keys = {"/.well-known/openid-configuration", "/openid/v1/jwks"}
        return sorted({"/api", "/api/v1", "/apis"} | served | groups | rest | keys)

    def _health(self, call: Call, check: str, names: list[str]) -> Answer:
        """Answer a health check, or one part of it; `?verbose` lists the parts, `?exclude=` leaves some out."""
        failed = self._site.failing()
        excluded = set(call.query.get("exclude", ()))
        checks = [name for name in _HEALTH if name not in excluded]
        if check == "readyz":
            checks.append("shutdown")
        if names:
            if len(names) > 1 or names[0] not in checks:
                raise no_such_path()
            checks = names
        lines = [
            f"[-]{name} failed: {failed[name]}" if name in failed else f"[+]{name} ok" for name in checks
        ]
        if any(name in failed for name in checks):
            text = "\n".join([*lines, f"{check} check failed", ""])
            return answers.plain(text, 503 if check == "readyz" else 500)
        if "verbose" in call.query:
            return answers.plain("\n".join([*lines, f"{check} check passed", ""]))
        return answers.plain("ok")

    def _metrics(self) -> Answer:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        gauges = {
            "process_cpu_seconds_total": (
                "Processor time of this process.",
                usage.ru_utime + usage.ru_stime,
            ),
            "process_start_time_seconds": ("When this process started, since the epoch.", _STARTED),
            "fairlead_store_resource_version": ("The last committed resourceVersion.", self._site.world.rv),
            **self._site.gauges(),
        }
        return answers.plain(self._site.metrics.text(gauges))

    def _openapi(self, call: Call, rest: list[str]) -> Answer | None:
        """Answer with OpenAPI: version 3 per group version (JSON), version 2 as one document (JSON or protobuf)."""
        match rest:
            case ["v3"]:
                body = self._described_as("v3")
            case ["v3", *place]:
                body = self._described_as("v3/" + "/".join(place))
            case ["v2"]:
                form = _swagger_form(call.headers.get("accept", ""))
                body = self._described_as("v2" if form == JSON else "v2 protobuf")
                return None if body is None else _tagged(call, Answer(200, body, form), "Accept")
            case _:
                return None
        return None if body is None else _tagged(call, Answer(200, body))

    def _described_as(self, name: str) -> bytes | None:
        """Return a document, made once for as long as the same kinds are served."""
        if self._generation != self._catalogue.generation:
            self._generation = self._catalogue.generation
            self._described.clear()
        if name not in self._described:
            catalogue, schemas = self._catalogue, self._site.world.schemas
            match name:
                case "v2" | "v2 protobuf":
                    content: dict[str, Any] | None = openapi.swagger(catalogue, schemas)
                case "v3":
                    content = openapi.index(catalogue, schemas)
                case _:
                    content = openapi.document(catalogue, schemas, name.removeprefix("v3/"))
            if content is None:
                return None
            self._described[name] = (
                swagger.encode(content) if name == "v2 protobuf" else orjson.dumps(content)
            )
        return self._described[name]

    def _openid(self) -> dict[str, Any]:
        return {
            "issuer": ISSUER,
            "jwks_uri": f"https://{self._site.address}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }


def version() -> dict[str, str]:
    """Return the document at /version: the Kubernetes version that this API is of, and fairlead's own."""
    major, minor = KUBERNETES
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"v{major}.{minor}.0+fairlead.{__version__}",
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": platform.python_implementation(),
        "platform": f"{platform.system().lower()}/{_machine()}",
    }


def _machine() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine().lower())


def _swagger_form(accept: str) -> str:
    """Return the media type for OpenAPI 2 that a client takes; Refusal 406."""
    listed = [media(part).type for part in accept.split(",")] if accept else [JSON]
    for one in listed:
        if one in {JSON, "*/*", "application/*"}:
            return JSON
        if one in swagger.ACCEPTED:
            return swagger.MEDIA_TYPE
    raise not_acceptable((JSON, swagger.MEDIA_TYPE))


def _tagged(call: Call, answer: Answer, vary: str = "") -> Answer:
    """Give an answer a tag by its content, and leave the content out where the client has it already."""
    tag = '"' + hashlib.sha256(answer.body).hexdigest()[:32].upper() + '"'
    answer.headers["etag"] = tag
    if vary:
        answer.headers["vary"] = vary
    if tag in [part.strip() for part in call.headers.get("if-none-match", "").split(",")]:
        return Answer(304, b"", answer.content_type, answer.headers)
    return answer
