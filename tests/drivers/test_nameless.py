"""A secret is a file for as long as it is read, and on no disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fairlead.drivers.nameless import nameless_file


@pytest.mark.parametrize("in_memory", [True, False])
def test_it_is_read_by_its_path_and_is_gone(
    in_memory: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if not in_memory:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    with nameless_file("secret") as name:
        assert Path(name).read_text() == "secret"
        assert bool(list(tmp_path.iterdir())) is not in_memory
    assert not list(tmp_path.iterdir())
