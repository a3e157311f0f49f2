"""The evaluator of CUE, with the real program: what it answers, what it is refused, and how hostile CUE ends."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.drivers import confining, cue
from fairlead.render.evaluations import Evaluated, Evaluation, Inject, Merge, Overlay, Place, Seek

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("fairlead_cue") is None,
    reason="fairlead-cue is not installed: tools/setup.sh cue",
)

FEW = 256 << 20
ALL = (Seek("", check=True), Seek("a"))


def asked(text: str, seek: tuple[Seek, ...] = ALL, **more: object) -> Evaluated:
    files = {"x.cue": f"package main\n{text}\n".encode()}
    return cue.evaluate(Evaluation(files, seek=seek, **more), seconds=30, memory=FEW)  # type: ignore[arg-type]


def test_it_is_of_a_version_that_it_tells() -> None:
    assert cue.version().startswith("v0.")


def test_values_come_in_the_order_in_which_they_are_written() -> None:
    found = asked('a: {z: 1, b: [1.5, "x", null, true], y: z + 1}')
    assert json.dumps(found.values["a"]) == '{"z": 1, "b": [1.5, "x", null, true], "y": 2}'


def test_what_is_optional_and_not_whole_is_left_out() -> None:
    found = asked("a: 1\nb: int", (Seek("a"), Seek("b", optional=True), Seek("c", optional=True)))
    assert found.values == {"a": 1}


def test_what_is_partial_is_given_as_far_as_it_is_concrete() -> None:
    found = asked("b: {x: 1, y: int, z: {u: string, v: *2 | int}}", (Seek("b", partial=True),))
    assert found.values == {"b": {"x": 1, "z": {"v": 2}}}


def test_mistakes_have_paths_and_places_and_all_are_told() -> None:
    found = asked('a: b: int\na: b: "x"\nc: 1 & 2')
    assert [(one.path, one.message) for one in found.problems] == [
        ("a.b", 'conflicting values int and "x" (mismatched types int and string)'),
        ("c", "conflicting values 2 and 1"),
    ]
    assert found.problems[0].places == (Place("x.cue", 2, 7), Place("x.cue", 3, 7))


def test_attributes_get_values_of_their_type_and_secrets_are_not_told() -> None:
    text = 'a: {s: string @t(run:string:S), n: int @t(run:number:N), b: bool @t(run:bool:B), d: *"d" | string @t(run:string:D)}'
    values = {"S": 'a"\n\\(b)', "N": "3", "B": "true"}
    assert asked(text, inject=Inject("t", "run", values)).values["a"] == {
        "s": 'a"\n\\(b)',
        "n": 3,
        "b": True,
        "d": "d",
    }
    found = asked(text, inject=Inject("t", "run", {**values, "N": "hunter2"}))
    assert [one.message for one in found.problems] == ["@t(run:number:N): value must be a number"]


def test_a_merge_lays_files_over_a_field() -> None:
    files = {
        "x.cue": b"package main\na: {n: int, t: string, l: [...int]}",
        "d.cue": b'package main\na: {n: 1, t: "x", l: [1, 2]}',
    }
    over = (Overlay("o.yaml", b"t: y\nl: [3]\n"), Overlay("p.json", b'{"a": {"n": 5}}'))
    merged = cue.evaluate(Evaluation(files, merge=Merge("d.cue", "a", "main", over), seek=ALL))
    assert merged.values["a"] == {"n": 5, "t": "y", "l": [3]}


HOSTILE = {
    "a comprehension that does not end": (
        'import "list"\nlet x = list.Range(0, 300, 1)\na: [for i in x for j in x for k in x for l in x {1}]',
        "did not end within 1 s",
    ),
    "disjunctions that multiply": (
        "a: " + " & ".join(f"({{x{i}: 1}} | {{x{i}: 2}} | {{x{i}: 3}})" for i in range(24)),
        "did not end within 1 s|more than the 256 MiB",
    ),
    "a text that doubles": (
        'a0: "xxxxxxxxxx"\n' + "\n".join(f'a{i + 1}: "\\(a{i})\\(a{i})"' for i in range(40)),
        "more than the 256 MiB",
    ),
    "a list without end": (
        'import "list"\na: list.Range(0, 1000000000, 1)',
        "more than the 256 MiB|did not end within 1 s",
    ),
    "data that is very deep": ("a: " + "{a: " * 2000 + "1" + "}" * 2000, "nests too deeply"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_cue_ends(what: str) -> None:
    text, why = HOSTILE[what]
    seconds = 1 if "1 s" in why else 30  # only what never ends is not waited for
    with pytest.raises(cue.CueFailed, match=why):
        cue.evaluate(
            Evaluation({"x.cue": f"package main\n{text}\n".encode()}, seek=ALL), seconds=seconds, memory=FEW
        )


REFUSED = {
    "a structural cycle": ("#l: {n: #l}\na: #l", "structural cycle"),
    "a source that is very deep": ("a: " + "[" * 100_000, "nesting depth"),
    "aliases that multiply": (
        'import "encoding/yaml"\na: yaml.Unmarshal("""\n\ta: &a [1,1,1,1,1,1,1,1,1]\n'
        + "".join(
            f"\t{y}: &{y} [{','.join([f'*{x}'] * 9)}]\n" for x, y in zip("abcdef", "bcdefg", strict=True)
        )
        + '\t""")',
        "aliases expand",
    ),
    "a file of the machine": (
        '@extern(embed)\n\npackage main\na: _ @embed(file="/etc/passwd", type=text)',
        "only relative files",
    ),
    "a file above": ('@extern(embed)\n\npackage main\na: _ @embed(file="../passwd", type=text)', "embed"),
    "a module from elsewhere": ('import "example.com/x@v0"\na: x.y', "cannot find package"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_reaches_too_far_is_refused(what: str) -> None:
    text, why = REFUSED[what]
    body = text if "\npackage" in text else f"package main\n{text}"
    module = b'module: "example.com/m"\nlanguage: version: "v0.12.0"\n'
    found = cue.evaluate(
        Evaluation({"cue.mod/module.cue": module, "x.cue": body.encode()}, seek=ALL), seconds=30, memory=FEW
    )
    assert why in found.problems[0].message


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux confines")
def test_the_program_has_given_up_what_it_can_before_it_hears_a_question() -> None:
    process = subprocess.Popen([cue.program()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={})
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        user = 65534 if os.geteuid() == 0 else 0
        process.stdin.write(
            cue.frame({"filter": cue._filter(), "user": user, "memory": FEW, "data": 2 * FEW})
        )
        process.stdin.flush()
        found, _ = cue.heard(process.stdout)
        assert found["lacking"] == [one for one in confining.lacking() if "no Landlock" in one]
        for task in Path(f"/proc/{process.pid}/task").iterdir():
            lines = (task / "status").read_text(encoding="ascii").splitlines()
            status = dict(line.split(":\t", 1) for line in lines)
            assert status["Seccomp"] == "2"
            assert status["NoNewPrivs"] == "1"
            if user:
                assert status["Uid"].split() == ["65534"] * 4
                assert status["Groups"].split() == []
                assert int(status["CapEff"], 16) == 0
    finally:
        process.stdin.close()
        assert process.wait(5) == 0  # it ends with its parent
        process.stdout.close()


LYING = {
    "echo it cannot be >&2; exit 1": "the evaluator failed: it cannot be",
    "exit 0": "the evaluator failed: it ended with 0",
    "echo 'panic: a bug' >&2; printf abc": "the evaluator failed: panic: a bug",
    r"printf '\377\377\377\377\0\0\0\0'": "the evaluator failed",
    r"printf '\0\0\0\2\0\0\0\0[]'": "the evaluator failed",
    r"printf '\0\0\0\2\0\0\0\0{}\0\0\0\2\0\0\0\0{}'; exec cat >/dev/null": "the evaluator failed: None",
    r"printf '\0\0\0\2\0\0\0\0{}\0\0\0\15\0\0\0\2{\42fine\42:true}{}'; exec cat >/dev/null": "answer cannot be read",
    "echo 'fatal error: runtime: out of memory' >&2; exit 2": "more than the 256 MiB",
    "exec sleep 60": "did not end within 0.5 s",
}


@pytest.mark.parametrize("script", LYING)
def test_a_program_that_breaks_hangs_or_lies_is_told(
    script: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.write_text(f"#!/bin/sh\n{script}\n")
    broken.chmod(0o755)
    monkeypatch.setattr(cue, "program", lambda: str(broken))
    files = {"x.cue": b"package main\n", "large.txt": bytes(1 << 20)}
    seconds = 0.5 if "0.5 s" in LYING[script] else 30
    with pytest.raises(cue.CueFailed, match=re.escape(LYING[script])):
        cue.evaluate(Evaluation(files, seek=ALL), seconds=seconds, memory=FEW)


def test_without_the_package_there_is_no_cue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fairlead_cue", None)
    with pytest.raises(cue.NoCue, match="CUE is not installed"):
        asked("a: 1")
