"""What policies ask of the outside: who answers, within which time, and how a write waits for it and is tried again."""

from __future__ import annotations

import asyncio
import copy
import http.server
import json
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fairlead.judge.policies import Assembled, Outcome, Policy, Rule
from fairlead.judge.reading import Source
from fairlead.judge.subjects import Subject
from fairlead.judge.surroundings import Lacking, Surroundings
from fairlead.keep.errors import Refusal
from fairlead.keep.requests import Request
from fairlead.keep.worlds import World
from fairlead.reactor import policies, policing_kinds
from fairlead.reactor.admit import PolicyGate, Unanswered
from fairlead.reactor.judging import Answerer, asking
from fairlead.reactor.keeping import Keeper
from fairlead.reactor.kindnames import KindNames, catalogue_of
from fairlead.words import Need, Ref, Resource, Snapshot, User

ADMIN = User(name="admin", groups=("system:masters",))
POD: Resource = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"generateName": "web-"},
    "spec": {"containers": [{"name": "c", "image": "nginx:1"}]},
}


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


class Service(http.server.BaseHTTPRequestHandler):
    """Answers what the path says."""

    def do_GET(self) -> None:
        if self.path == "/slow":
            time.sleep(0.8)
        body = b"x" * (5 * 1024 * 1024) if self.path == "/large" else b'{"path": "%s"}' % self.path.encode()
        self.send_response(503 if self.path == "/broken" else 200)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"asked": asked, "who": self.headers.get("x-who")}).encode())

    def log_message(self, *_: object) -> None:  # quiet
        pass


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def need(what: str, name: str, **detail: str) -> Need:
    return Need(what, Ref("", "", "", name), tuple(detail.items()))


def answers(*needs: Need, **more: Any) -> Sequence[Any]:
    found = asyncio.run(Answerer(**more).answer(needs))
    return [found[one] for one in needs]


def test_a_service_is_asked(service: str) -> None:
    headers = json.dumps([{"key": "x-who", "value": "me"}])
    got, posted = answers(
        need("http", f"{service}/a"),
        need("http", f"{service}/", method="POST", data='{"q":1}', headers=headers),
    )
    assert got == {"path": "/a"}
    assert posted == {"asked": {"q": 1}, "who": "me"}


def test_one_that_fails_says_why_and_holds_up_nobody(service: str) -> None:
    paths = ("/slow", "/broken", "/large", "/fine")
    started = time.monotonic()
    slow, broken, large, fine = answers(*(need("http", service + path) for path in paths), seconds=0.3)
    assert time.monotonic() - started < 5
    assert "within 0.3 s" in str(slow)
    assert "HTTP 503" in str(broken)
    assert "larger than" in str(large)
    assert fine == {"path": "/fine"}
    assert all(isinstance(one, Exception) for one in (slow, broken, large))


def test_a_need_may_have_a_shorter_time_of_its_own(service: str) -> None:
    assert "within 0.1 s" in str(answers(need("http", f"{service}/slow", seconds="0.1"))[0])


def test_names_are_resolved() -> None:
    assert answers(need("dns", "127.0.0.1")) == [["127.0.0.1"]]


def test_what_nobody_answers_is_said_by_its_name() -> None:
    image, path = answers(need("image.verification", "nginx:1"), need("kubernetes.get", "/version"))
    assert str(image) == "image.verification of nginx:1 cannot be had here"
    assert "/version" in str(path)


def test_external_data_is_asked_of_its_provider(service: str) -> None:
    provider: Resource = {
        "apiVersion": "externaldata.gatekeeper.sh/v1beta1",
        "kind": "Provider",
        "metadata": {"name": "p"},
        "spec": {"url": service, "timeout": 2},
    }
    about = Ref("externaldata.gatekeeper.sh", "Provider", "", "p")
    asked = Need("externaldata", about, (("key", "a"), ("key", "b")))
    missing = Need("externaldata", Ref("externaldata.gatekeeper.sh", "Provider", "", "q"), (("key", "a"),))
    found, absent = answers(asked, missing, view=lambda: Snapshot([provider]))
    assert found["asked"]["request"] == {"keys": ["a", "b"]}
    assert found["asked"]["kind"] == "ProviderRequest"
    assert isinstance(absent, Unanswered)


def test_judging_goes_on_until_nothing_is_lacking_or_it_has_been_enough() -> None:
    asked: list[str] = []

    async def answer(needs: Sequence[Need]) -> Mapping[Need, Any]:
        asked.extend(one.about.name for one in needs)
        return dict.fromkeys(needs, 1)

    def chain(length: int) -> Any:
        def step(around: Surroundings) -> int:
            return sum(around.ask(need("x", str(n))) for n in range(length))

        return step

    around = Surroundings(
        view=Snapshot(), now=datetime(2026, 1, 1, tzinfo=UTC), kinds=KindNames(catalogue_of([]))
    )
    assert asyncio.run(asking(chain(3), around, answer)) == 3
    assert asked == ["0", "1", "2"]
    with pytest.raises(Unanswered, match="too often"):
        asyncio.run(asking(chain(100), around, answer))


# A write that waits


class Dialect:
    """A dialect whose one rule asks for what its document names, and denies by the answer."""

    def __init__(self) -> None:
        self.seen: list[Subject] = []

    def read(self, source: Source) -> tuple[list[Source], list[Any]]:
        return [source], []

    def assemble(self, models: Sequence[Source]) -> Assembled:
        return Assembled(tuple(self._policy(one) for one in models))

    def _policy(self, source: Source) -> Policy:
        spec = source.content["spec"]

        def judge(subject: Subject, around: Surroundings) -> Outcome:
            self.seen.append(subject)
            about = Ref("", "Pod", "", f"{subject.name}/{subject.present['metadata']['uid']}")
            answer = around.ask(Need("verdict", about))
            for number in range(spec.get("more", 0)):
                around.ask(Need("more", Ref("", "", "", str(number))))
            return Outcome(result="pass" if answer == "yes" else "fail", message=f"answered {answer}")

        rule = Rule(name="r", phase="validate", concerns=lambda one: one.kind == "Pod", run=judge)
        return Policy(
            source=source.ref,
            name=source.ref.name,
            dialect="jspolicy",
            rules=(rule,),
            open=spec.get("open", False),
        )


@pytest.fixture
def dialect(monkeypatch: pytest.MonkeyPatch) -> Dialect:
    one = Dialect()
    face = SimpleNamespace(
        READS={("policy.jspolicy.com", "JsPolicy"): one.read}, assemble=one.assemble, WRITES={}
    )
    monkeypatch.setattr(policies, "_module", lambda _: face)
    return one


class Plane:
    """A keeper with a gate, whose Needs are answered by a function."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper
        self.needs: list[Need] = []
        self.reply: Any = "yes"
        self.gate = asyncio.Event()
        self.gate.set()

    async def answer(self, needs: Sequence[Need]) -> Mapping[Need, Any]:
        self.needs += needs
        await self.gate.wait()
        return dict.fromkeys(needs, self.reply)

    async def make(self, doc: Resource) -> Resource:
        group, _, version = doc["apiVersion"].rpartition("/")
        kind = self.keeper.world.catalogue.kind(group, doc["kind"], version)
        assert kind is not None
        request = Request(user=ADMIN, now=datetime.now(UTC), manager="test")
        body = copy.deepcopy(doc)
        space = "default" if kind.namespaced else ""
        made = await self.keeper.write(lambda world: world.create(kind, space, body, request))
        return made.object

    async def policy(self, **spec: Any) -> None:
        await self.make(
            {
                "apiVersion": "policy.jspolicy.com/v1beta1",
                "kind": "JsPolicy",
                "metadata": {"name": "p"},
                "spec": spec,
            }
        )


async def plane(path: Path) -> Plane:
    keeper = await Keeper.open(path / "s.db")
    await keeper.write(lambda world: policing_kinds.install(world, datetime.now(UTC)))
    one = Plane(keeper)
    keeper.guard(PolicyGate(one.answer))
    return one


def test_a_write_waits_for_the_answer_and_is_the_same_write_then(tmp_path: Path, dialect: Dialect) -> None:
    async def test() -> None:
        one = await plane(tmp_path)
        await one.policy()
        made = await one.make(POD)
        first, second = dialect.seen
        assert first.name == second.name == made["metadata"]["name"]
        assert first.uid == second.uid
        assert [need.about.name for need in one.needs] == [f"{first.name}/{made['metadata']['uid']}"]
        await one.keeper.close()

    run(test())


def test_others_write_while_one_waits(tmp_path: Path, dialect: Dialect) -> None:
    async def test() -> None:
        one = await plane(tmp_path)
        await one.policy()
        one.gate.clear()
        waiting = asyncio.create_task(one.make(POD))
        await asyncio.sleep(0.05)
        await one.make({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}})
        assert not waiting.done()
        one.gate.set()
        assert (await waiting)["metadata"]["name"].startswith("web-")
        await one.keeper.close()

    run(test())


def test_what_the_answer_denies_is_denied(tmp_path: Path, dialect: Dialect) -> None:
    async def test() -> None:
        one = await plane(tmp_path)
        await one.policy()
        one.reply = "no"
        with pytest.raises(Refusal, match="answered no"):
            await one.make(POD)
        await one.keeper.close()

    run(test())


@pytest.mark.parametrize("open_", [False, True], ids=["fail", "ignore"])
def test_without_an_answer_the_policys_own_word_counts(tmp_path: Path, dialect: Dialect, open_: bool) -> None:
    async def test() -> None:
        one = await plane(tmp_path)
        await one.policy(open=open_)
        one.reply = Unanswered("nobody is there")
        if open_:
            assert (await one.make(POD))["kind"] == "Pod"
        else:
            with pytest.raises(Refusal, match="nobody is there"):
                await one.make(POD)
        await one.keeper.close()

    run(test())


def test_policies_that_never_have_enough_are_cut_short(tmp_path: Path, dialect: Dialect) -> None:
    async def test() -> None:
        one = await plane(tmp_path)
        await one.policy(more=100)
        with pytest.raises(Refusal) as caught:
            await one.make(POD)
        assert caught.value.code == 500
        await one.keeper.close()

    run(test())


def test_in_a_copy_rules_that_would_have_to_ask_are_passed_over(tmp_path: Path, dialect: Dialect) -> None:
    async def test() -> None:
        one = await plane(tmp_path)
        await one.policy()
        fork: World = one.keeper.world.fork()
        kind = fork.catalogue.kind("", "Pod")
        assert kind is not None
        request = Request(user=ADMIN, now=datetime.now(UTC), manager="test")
        assert fork.create(kind, "default", copy.deepcopy(POD), request).created
        assert not one.needs
        with pytest.raises(Lacking):
            one.keeper.world.attempt(lambda world: world.create(kind, "default", copy.deepcopy(POD), request))
        await one.keeper.close()

    run(test())
