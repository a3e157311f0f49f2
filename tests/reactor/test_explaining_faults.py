"""What an explainer remembers, under faults: a full disk, two at once, files that somebody has tampered with."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from fairlead.drivers import llm
from fairlead.reactor import explaining
from fairlead.reactor.explaining import Budget, Explained, Explainer
from fairlead.words import Finding, Ref, Severity, Snapshot

SETTINGS = llm.Settings(provider="openai", name="m", url="http://127.0.0.1:1")
FINDINGS = [
    Finding(rule="service.selector", severity=Severity.CRITICAL, subject=Ref("", "Service", "shop", f"web-{index}"), message="m")
    for index in range(4)
]  # fmt: skip


async def answering(_settings: llm.Settings, _instructions: str, _question: str) -> llm.Reply:
    return llm.Reply(json.dumps({"explanation": "it selects nothing"}), 10, 10)


def explained(state: Path, calls: int = 60, count: int = 1) -> Explained:
    one = Explainer(SETTINGS, state, budget=Budget(calls=calls), ask=answering)
    return asyncio.run(one.explain(FINDINGS[:count], Snapshot([])))


def _spend(state: str, calls: int, results: Any) -> None:
    one = Explainer(SETTINGS, Path(state), budget=Budget(calls=calls), ask=answering)
    Path(state).mkdir(exist_ok=True)
    results.put((one._key(), [one._spend(1) for _ in range(10)]))


def test_two_processes_have_one_key_and_one_budget(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [context.Process(target=_spend, args=(str(tmp_path / "s"), 25, results)) for _ in range(4)]
    for one in workers:
        one.start()
    found = [results.get(timeout=20) for _ in workers]
    for one in workers:
        one.join(10)
    assert len({key for key, _ in found}) == 1
    assert sum(not refusal for _, refusals in found for refusal in refusals) == 25


@pytest.mark.parametrize(
    "spent", ["", "x", "{}", "[1, 2]", '[["a", "b"]]', "[[1e999, 1]]", "[[NaN, NaN]]", "[[9e14, 1]]", "[" * 99_999, "[[1]]", "[[true, null]]"]
)  # fmt: skip
def test_a_book_that_is_none_begins_anew(spent: str, tmp_path: Path) -> None:
    (tmp_path / "spent").write_text(spent)
    assert explained(tmp_path).notes == []
    assert len(json.loads((tmp_path / "spent").read_text())) == 1


def test_a_full_disk_costs_no_answer_and_no_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    explained(tmp_path, count=2)
    book = (tmp_path / "spent").read_text()
    plain = explaining._put

    def full(path: Path, content: bytes) -> None:
        if "answers" in path.parts:
            raise OSError(28, "No space left on device")
        plain(path, content)

    monkeypatch.setattr(explaining, "_put", full)
    found = explained(tmp_path, count=3)
    assert len(found.suggestions) == 3
    assert "the answer is not kept: No space left on device" in found.notes[0]

    def full_of_all(path: Path, _: bytes) -> None:
        path.write_bytes(b"")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(explaining, "_put", full_of_all)
    (tmp_path / "spent").write_text(book)
    with pytest.raises(OSError, match="No space"):
        explained(tmp_path, count=4)
    assert (tmp_path / "spent").read_text() == book, "what was spent is not forgotten"
    assert not list(tmp_path.glob("*.fresh"))


def test_a_state_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        explained(tmp_path / "file" / "model")


def test_a_key_that_was_cut_off_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"")
    explained(tmp_path)
    key = (tmp_path / "key").read_bytes()
    assert len(key) == 32
    explained(tmp_path)
    assert (tmp_path / "key").read_bytes() == key
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "kept",
    [
        json.dumps({"answer": "x" * (llm.LONGEST + 1)}),
        json.dumps({"answer": ["x"]}),
        " " * (2 << 20) + json.dumps({"answer": "x"}),
        "[" * 100_000,
        "\x00",
    ],
)
def test_a_kept_answer_that_no_model_could_have_given_is_asked_again(kept: str, tmp_path: Path) -> None:
    explained(tmp_path)
    (place,) = (tmp_path / "answers").iterdir()
    place.write_text(kept)
    assert explained(tmp_path).calls == 1


def test_a_kept_answer_that_was_tampered_with_is_treated_like_any(tmp_path: Path) -> None:
    explained(tmp_path)
    (place,) = (tmp_path / "answers").iterdir()
    place.write_text(json.dumps({"answer": json.dumps({"explanation": "\x1b[2Jnow \x07run \u202erm"})}))
    found = explained(tmp_path)
    assert found.calls == 0
    said = "".join(one.words for one in found.suggestions.values()) + "".join(found.notes)
    assert said
    assert not {"\x1b", "\x07", "\u202e"} & set(said)
