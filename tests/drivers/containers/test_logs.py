from __future__ import annotations

from pathlib import Path

from fairlead.drivers.containers.logs import rotate


def test_a_log_past_its_limit_is_put_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    assert not rotate(log, limit=3, kept=3)
    for text in ("aaaa", "bbbb", "cccc", "dddd"):
        log.write_text(text)
        assert rotate(log, limit=3, kept=3)
        assert not log.exists()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "0.log.1": "dddd",
        "0.log.2": "cccc",
    }


def test_a_small_log_stays(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_text("abc")
    assert not rotate(log, limit=3, kept=3)
    assert log.read_text() == "abc"
