"""What is written of requests: policies, events, the file, and a real control plane that writes one."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from fairlead.faces.kube import auditing_events, auditing_policies
from fairlead.faces.kube.auditing import Auditor, Log
from fairlead.faces.kube.auditing_events import Trail
from fairlead.faces.kube.auditing_policies import (
    METADATA,
    NONE,
    REQUEST,
    RESPONSE,
    Asked,
    BadPolicy,
    Judged,
    read,
)
from fairlead.faces.kube.paths import Target
from fairlead.words import User

ANN = User(name="ann", groups=("dev", "system:authenticated"))


def policy(*rules: str, top: str = "") -> auditing_policies.AuditPolicy:
    body = "\n".join(f"- {rule}" for rule in rules)
    return read(f"apiVersion: audit.k8s.io/v1\nkind: Policy\n{top}\nrules:\n{body}\n", "p.yaml")


def asked(verb: str = "get", resource: str = "pods", **told: Any) -> Asked:
    return Asked(**{"verb": verb, "user": ANN, "resource": resource, **told})


FITS: list[tuple[str, Asked, bool]] = [
    ("{level: Metadata}", asked(), True),
    ("{level: Metadata}", asked(resource="", path="/healthz"), True),
    ("{level: Metadata, users: [ann]}", asked(), True),
    ("{level: Metadata, users: [bob]}", asked(), False),
    ("{level: Metadata, userGroups: [dev]}", asked(), True),
    ("{level: Metadata, userGroups: [ops]}", asked(), False),
    ("{level: Metadata, verbs: [get, list]}", asked(), True),
    ("{level: Metadata, verbs: [watch]}", asked(), False),
    ("{level: Metadata, namespaces: [a]}", asked(namespace="a"), True),
    ("{level: Metadata, namespaces: [a]}", asked(namespace="b"), False),
    ('{level: Metadata, namespaces: [""]}', asked(), True),
    ('{level: Metadata, resources: [{group: ""}]}', asked(), True),
    ('{level: Metadata, resources: [{group: "apps"}]}', asked(), False),
    ('{level: Metadata, resources: [{group: "", resources: [pods]}]}', asked(), True),
    ('{level: Metadata, resources: [{group: "", resources: [pods]}]}', asked(subresource="log"), False),
    ('{level: Metadata, resources: [{group: "", resources: ["pods/log"]}]}', asked(subresource="log"), True),
    ('{level: Metadata, resources: [{group: "", resources: ["*/log"]}]}', asked(subresource="log"), True),
    ('{level: Metadata, resources: [{group: "", resources: ["pods/*"]}]}', asked(subresource="log"), True),
    ('{level: Metadata, resources: [{group: "", resources: ["*"]}]}', asked(subresource="log"), True),
    ('{level: Metadata, resources: [{group: "", resources: [pods], resourceNames: [x]}]}', asked(name="x"), True),
    ('{level: Metadata, resources: [{group: "", resources: [pods], resourceNames: [x]}]}', asked(name="y"), False),
    ('{level: Metadata, resources: [{group: ""}]}', asked(resource="", path="/api"), False),
    ('{level: Metadata, nonResourceURLs: ["/healthz*"]}', asked(resource="", path="/healthz/ping"), True),
    ('{level: Metadata, nonResourceURLs: ["/healthz"]}', asked(resource="", path="/healthz/ping"), False),
    ('{level: Metadata, nonResourceURLs: ["*"]}', asked(), False),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "request_", "said"), FITS)
def test_rules_fit(rule: str, request_: Asked, said: bool) -> None:
    assert (policy(rule).judge(request_).level == METADATA) is said


def test_the_first_rule_that_fits_decides_and_stages_add_up() -> None:
    made = policy(
        "{level: None, users: [bob]}",
        "{level: Request, omitStages: [Panic]}",
        "{level: Metadata}",
        top="omitStages: [RequestReceived]",
    )
    judged = made.judge(asked())
    assert judged == Judged(REQUEST, frozenset({"Panic", "RequestReceived"}))
    assert policy("{level: Metadata, users: [bob]}").judge(asked()).level == NONE
    made = policy(
        "{level: Metadata, omitManagedFields: false}", "{level: None}", top="omitManagedFields: true"
    )
    assert not made.judge(asked()).omit_managed


def test_secrets_and_tokens_are_never_more_than_told_of() -> None:
    made = policy("{level: RequestResponse}")
    assert made.judge(asked("create", "secrets")).level == METADATA
    assert made.judge(asked("create", "serviceaccounts", subresource="token")).level == METADATA
    assert made.judge(asked("create", "tokenreviews", group="authentication.k8s.io")).level == METADATA
    assert made.judge(asked("create", "pods")).level == RESPONSE


WRONG: list[tuple[str, str]] = [
    (
        "rules: [{level: Some}]",
        "p:2 .rules[0].level: Some is not one of None, Metadata, Request, RequestResponse",
    ),
    ("rules: []", "a policy must have rules"),
    ("rules: [{level: None, colour: red}]", ".rules[0].colour"),
    ("rules: [{level: None, omitStages: [Later]}]", "Later is not one of"),
    ("rules: [{level: None, nonResourceURLs: [x]}]", "must begin with a slash"),
    ("rules: [{level: None, nonResourceURLs: ['/a*b']}]", "a star only at its end"),
    ("rules: [{level: None, nonResourceURLs: ['/a'], namespaces: [x]}]", "cannot apply to both"),
    (
        "rules: [{level: None, resources: [{group: '', resourceNames: [x]}]}]",
        "requires at least one resource",
    ),
    ("rules: [", "p: "),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_what_is_wrong_in_a_policy_is_said_with_its_place(text: str, said: str) -> None:
    with pytest.raises(BadPolicy) as caught:
        read(f"{{apiVersion: audit.k8s.io/v1, kind: Policy,\n{text}}}", "p")
    assert said in str(caught.value)


def trail(level: int = RESPONSE, **told: Any) -> Trail:
    made = Trail(
        "id",
        1_700_000_000_123_456_789,
        "POST",
        "/x?y=1",
        "/x",
        "kubectl/v1",
        ("127.0.0.1",),
        "application/json",
    )
    made.user, made.judged = ANN, Judged(level)
    for key, value in told.items():
        setattr(made, key, value)
    return made


def test_an_event_says_what_kubernetes_says() -> None:
    sent = {"kind": "Pod", "metadata": {"name": "web", "namespace": "shop"}, "spec": {"hostPID": True}}
    noted = trail(
        target=Target("", "v1", "pods", "shop"), verb="create", decision="allow", sent=json.dumps(sent).encode(),
        answer=json.dumps({**sent, "metadata": {"name": "web", "managedFields": [1]}}).encode(), answer_type="application/json",
        status=201, judged=Judged(RESPONSE, frozenset(), omit_managed=True),
    )  # fmt: skip
    assert auditing_events.event(noted, "ResponseComplete", 1_700_000_001_000_000_000) == {
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "RequestResponse", "auditID": "id", "stage": "ResponseComplete",
        "requestURI": "/x?y=1", "verb": "create", "user": {"username": "ann", "groups": ["dev", "system:authenticated"]},
        "sourceIPs": ["127.0.0.1"], "userAgent": "kubectl/v1",
        "objectRef": {"resource": "pods", "namespace": "shop", "name": "web", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 201}, "requestObject": sent,
        "responseObject": {**sent, "metadata": {"name": "web"}},
        "requestReceivedTimestamp": "2023-11-14T22:13:20.123456Z", "stageTimestamp": "2023-11-14T22:13:21.000000Z",
        "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
    }  # fmt: skip


def test_a_level_says_how_much() -> None:
    told = {
        "target": Target("", "v1", "pods", "a"),
        "verb": "create",
        "sent": b'{"metadata":{"name":"n"}}',
        "answer": b"{}",
        "answer_type": "application/json",
        "status": 201,
    }
    bodies = [
        {"requestObject", "responseObject"}
        & set(auditing_events.event(trail(level, **told), "ResponseComplete", 1))
        for level in (METADATA, REQUEST, RESPONSE)
    ]
    assert bodies == [set(), {"requestObject"}, {"requestObject", "responseObject"}]
    assert auditing_events.event(trail(METADATA, **told), "ResponseComplete", 1)["objectRef"]["name"] == "n"
    secret = trail(RESPONSE, **{**told, "target": Target("", "v1", "secrets", "a")})
    assert not {"requestObject", "responseObject"} & set(auditing_events.event(secret, "ResponseComplete", 1))


def test_a_body_that_is_none_is_left_out() -> None:
    for sent, kind in (
        (b"{", "application/json"),
        (b"\xff", "application/vnd.kubernetes.protobuf"),
        (b"x", "text/plain"),
    ):
        noted = trail(sent=sent, content_type=kind, target=Target("", "v1", "pods", "a"), verb="create")
        assert "requestObject" not in auditing_events.event(noted, "ResponseComplete", 1)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_log_is_private_and_rotated(tmp_path: Path) -> None:
    out = Log(tmp_path / "audit.jsonl", largest=2000, kept=2)
    for _ in range(20):
        out.put(trail(METADATA), "ResponseComplete")
    out.close()
    files = sorted(one.name for one in tmp_path.iterdir())
    assert files == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"]
    assert all(stat.S_IMODE(one.stat().st_mode) == 0o600 for one in tmp_path.iterdir())
    assert all(one.stat().st_size <= 2000 for one in tmp_path.iterdir())
    assert lines(tmp_path / "audit.jsonl")
    assert out.dropped == 0


def test_what_waits_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead.faces.kube.auditing.MOST_WAITING", 10_000)
    auditor = Auditor(policy("{level: Request}"), Log(tmp_path / "a"))
    noted = trail(sent=b"x" * 20_000)
    auditor.identified(noted)
    auditor.ended(noted, 200)
    auditor.close()
    assert auditor.dropped == 1


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory, server_class: type[Any]) -> Iterator[Any]:
    server = server_class(tmp_path_factory.mktemp("audit") / "data", options=("--audit-policy", "default"))
    server.start()
    try:
        yield server
    finally:
        code = server.stop()
    assert code == 0, server.log.read_text()
    assert "Traceback" not in server.log.read_text(), server.log.read_text()


class Reader:
    """The audit log of a server, read as it grows."""

    def __init__(self, server: Any) -> None:
        self.path: Path = server.data / "logs" / "audit.jsonl"

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            found = (
                [one for one in lines(self.path) if wanted(one)]
                if self.path.read_text().endswith("\n")
                else []
            )
            if found:
                return found[-1]
            time.sleep(0.02)
        raise AssertionError(self.path.read_text())


def about(
    resource: str, verb: str, name: str = "", stage: str = "ResponseComplete"
) -> Callable[[dict[str, Any]], bool]:
    def wanted(one: dict[str, Any]) -> bool:
        ref = one.get("objectRef", {})
        return (ref.get("resource"), one["verb"], one["stage"]) == (resource, verb, stage) and (
            not name or ref.get("name") == name
        )

    return wanted


@pytest.fixture(scope="module")
def client(audited: Any) -> Iterator[httpx.Client]:
    with audited.client() as one:
        yield one


@pytest.fixture
def log(audited: Any) -> Reader:
    return Reader(audited)


def test_a_change_is_written_whole(client: httpx.Client, log: Reader) -> None:
    sent = {"metadata": {"name": "c1"}, "data": {"key": "value"}}
    answer = client.post("/api/v1/namespaces/default/configmaps?fieldManager=me", json=sent)
    assert answer.status_code == 201
    event = log.until(about("configmaps", "create", "c1"))
    assert event["level"] == "RequestResponse"
    assert event["requestURI"] == "/api/v1/namespaces/default/configmaps?fieldManager=me"
    assert event["requestObject"]["data"] == {"key": "value"}
    assert event["responseObject"]["metadata"]["name"] == "c1"
    assert "managedFields" not in event["responseObject"]["metadata"]
    assert event["responseStatus"]["code"] == 201
    assert event["annotations"]["authorization.k8s.io/decision"] == "allow"
    assert "system:masters" in event["user"]["groups"]
    assert event["sourceIPs"] == ["127.0.0.1"]


def test_a_patch_and_a_delete_are_written(client: httpx.Client, log: Reader) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    client.post(path, json={"metadata": {"name": "c2"}}).raise_for_status()
    kind = {"content-type": "application/merge-patch+json"}
    client.patch(f"{path}/c2", content=b'{"data":{"a":"b"}}', headers=kind).raise_for_status()
    client.delete(f"{path}/c2").raise_for_status()
    assert log.until(about("configmaps", "patch", "c2"))["requestObject"] == {"data": {"a": "b"}}
    assert log.until(about("configmaps", "delete", "c2"))["responseStatus"]["code"] == 200


def test_reads_are_only_told_of(client: httpx.Client, log: Reader) -> None:
    client.get("/api/v1/namespaces/default").raise_for_status()
    event = log.until(about("namespaces", "get", "default"))
    assert event["level"] == "Metadata"
    assert "responseObject" not in event


def test_a_secret_is_never_written(client: httpx.Client, log: Reader) -> None:
    sent = {"metadata": {"name": "s1"}, "stringData": {"password": "correct-horse"}}
    client.post("/api/v1/namespaces/default/secrets", json=sent).raise_for_status()
    client.get("/api/v1/namespaces/default/secrets/s1").raise_for_status()
    client.post(
        "/api/v1/namespaces/default/serviceaccounts", json={"metadata": {"name": "robot"}}
    ).raise_for_status()
    made = client.post("/api/v1/namespaces/default/serviceaccounts/robot/token", json={"spec": {}})
    made.raise_for_status()
    log.until(about("secrets", "get", "s1"))
    assert log.until(about("secrets", "create", "s1"))["level"] == "Metadata"
    log.until(about("serviceaccounts", "create", "robot"))
    written = log.path.read_text()
    assert "correct-horse" not in written
    assert made.json()["status"]["token"] not in written


def test_a_refusal_says_why(audited: Any, client: httpx.Client, log: Reader) -> None:
    headers = {"Impersonate-User": "nobody-here"}
    assert client.delete("/api/v1/nodes/one", headers=headers).status_code == 403
    event = log.until(about("nodes", "delete", "one"))
    assert event["impersonatedUser"]["username"] == "nobody-here"
    assert event["user"]["username"] != "nobody-here"
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert (event["responseStatus"]["code"], event["responseStatus"]["reason"]) == (403, "Forbidden")
    with audited.client("") as stranger:
        assert stranger.delete("/api/v1/nodes/two").status_code == 401
    assert log.until(about("nodes", "delete", "two"))["responseStatus"]["code"] == 401
    assert client.get("/api/v1/namespaces/default/pods/absent").status_code == 404
    assert log.until(about("pods", "get", "absent"))["responseStatus"]["reason"] == "NotFound"


def test_a_watch_is_written_when_it_begins_and_when_it_ends(client: httpx.Client, log: Reader) -> None:
    client.get("/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1").raise_for_status()
    begun = log.until(about("configmaps", "watch", stage="ResponseStarted"))
    ended = log.until(about("configmaps", "watch"))
    assert begun["auditID"] == ended["auditID"]
    assert begun["requestURI"].endswith("watch=1&timeoutSeconds=1")


def test_a_connection_into_a_pod_is_written_when_it_begins(
    audited: Any, client: httpx.Client, log: Reader
) -> None:
    pod = {"metadata": {"name": "p1"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    client.post("/api/v1/namespaces/default/pods", json=pod).raise_for_status()
    connect_to(audited, "/api/v1/namespaces/default/pods/p1/attach?container=c")
    begun = log.until(about("pods", "get", "p1", "ResponseStarted"))
    assert begun["objectRef"]["subresource"] == "attach"
    assert begun["level"] == "Metadata"
    assert log.until(about("pods", "get", "p1"))["auditID"] == begun["auditID"]
    connect_to(audited, "/api/v1/namespaces/default/pods/p2/exec?command=sh")
    assert log.until(about("pods", "get", "p2"))["responseStatus"]["code"] == 404


def connect_to(server: Any, path: str) -> None:
    """Open a WebSocket as kubectl does, and close it, whatever is said."""
    headers = {"Authorization": f"Bearer {server.token()}"}
    url = server.url.replace("https", "wss") + path
    with (
        suppress(WebSocketException),
        connect(
            url, ssl=server.ca, subprotocols=[Subprotocol("v5.channel.k8s.io")], additional_headers=headers
        ) as socket,
    ):
        for _ in socket:
            pass


def test_health_is_not_worth_a_line(client: httpx.Client, log: Reader) -> None:
    client.get("/healthz").raise_for_status()
    client.get("/api/v1/namespaces/default/pods").raise_for_status()
    log.until(about("pods", "list"))
    assert "/healthz" not in log.path.read_text()


def test_the_log_is_for_its_owner_only(log: Reader) -> None:
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


def test_a_policy_of_ones_own_decides(new_server: Callable[[], Any], tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {level: Metadata, verbs: [create]}\n"
    )
    server = new_server()
    server.options = ("--audit-policy", str(file))
    server.start()
    with server.client() as one:
        one.get("/api/v1/namespaces/default").raise_for_status()
        one.post("/api/v1/namespaces", json={"metadata": {"name": "x"}}).raise_for_status()
    server.stop()
    found = lines(server.data / "logs" / "audit.jsonl")
    assert [(one["verb"], one["stage"]) for one in found] == [
        ("create", "RequestReceived"),
        ("create", "ResponseComplete"),
    ]


def test_a_policy_that_is_wrong_stops_the_start(new_server: Callable[[], Any], tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("kind: Policy\n")
    server = new_server()
    server.options = ("--audit-policy", str(file))
    with pytest.raises(AssertionError, match="a policy must have rules"):
        server.start()
