"""Whatever the text: a module is compiled or refused with BadModule, and what compiles answers or fails with Failed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairlead.tongues import rego

HERE = Path(__file__).parent
MODULES = [case["module"] for case in yaml.safe_load((HERE / "answers.yaml").read_text())]
PIECE = re.compile(r'\s+|\w+|"[^"\n]*"|.', re.DOTALL)
PIECES = sorted({piece for module in MODULES for piece in PIECE.findall(module)})
ODD = [
    '$"{',
    '}"',
    "`",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    "|",
    ":=",
    "=",
    "_",
    "else",
    "default",
    "1e999",
    "\\",
    "\x00",
    "é",
]


def attempt(text: str, version: str) -> None:
    said = "fine"
    try:
        program = rego.compile({"f.rego": text}, version=version)
        rego.to_json(program.query("data", {"a": [1, {"b": "c"}]}, {}, budget=20_000))
    except (rego.BadModule, rego.Failed) as error:
        said = str(error)
    assert said


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), st.sampled_from(MODULES), st.sampled_from(["v0", "v1"]))
def test_changed_modules_are_compiled_or_refused(data: st.DataObject, module: str, version: str) -> None:
    pieces = PIECE.findall(module)
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(pieces) - 1))
        act = data.draw(st.sampled_from(["drop", "put", "change", "swap"]))
        if act == "drop" and len(pieces) > 1:
            del pieces[place]
        elif act == "put":
            pieces.insert(place, data.draw(st.sampled_from(PIECES + ODD)))
        elif act == "change":
            pieces[place] = data.draw(st.sampled_from(PIECES + ODD))
        else:
            other = data.draw(st.integers(0, len(pieces) - 1))
            pieces[place], pieces[other] = pieces[other], pieces[place]
    attempt("".join(pieces), version)


@settings(max_examples=200, deadline=None)
@given(st.text(), st.sampled_from(["v0", "v1"]))
def test_any_text_is_compiled_or_refused(text: str, version: str) -> None:
    attempt(text, version)
    attempt(f"package f\np if {{ {text} }}", version)
    attempt(f"package f\np := {text}", version)


HARNESS = """
import sys
import atheris
with atheris.instrument_imports(include=["fairlead.tongues.rego.lexing", "fairlead.tongues.rego.terms", "fairlead.tongues.rego.parsing"]):
    from fairlead.tongues import rego
def one(data):
    text = atheris.FuzzedDataProvider(data).ConsumeUnicodeNoSurrogates(4096)
    try:
        rego.compile({"f.rego": text})
    except rego.BadModule:
        pass
atheris.Setup(sys.argv, one)
atheris.Fuzz()
"""


def test_the_parser_bears_a_coverage_guided_fuzzer(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris is for Linux on x86-64")
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    for number, module in enumerate(MODULES):
        (seeds / str(number)).write_text(module)
    program = tmp_path / "harness.py"
    program.write_text(HARNESS)
    ran = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            str(program),
            str(seeds),
            "-runs=4000",
            "-max_total_time=8",
            "-timeout=5",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
