"""Templates that would never end, or fill all memory: each is refused, and says why."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.tongues.gotemplate import Budget, ExecError, Exhausted, ParseError, Templates

SMALL = Budget(steps=20_000, letters=1_000_000)


def run(text: str, value: Any = None) -> str:
    templates = Templates.of({"t": text})
    return templates.run("t", value, templates.state(budget=SMALL))


DOUBLING = '{{ $x := "ab" }}{{ range until 60 }}{{ $x = STEP }}{{ end }}'


@pytest.mark.parametrize(
    "text",
    [
        "{{ range until 1000000000 }}{{ end }}",
        "{{ range 1000000000 }}{{ end }}",
        "{{ range untilStep 0 1000000000 1 }}x{{ end }}",
        "{{ seq 1 1000000000 }}",
        '{{ repeat 1000000000 "x" }}',
        '{{ "x" | repeat 100000 | repeat 100000 }}',
        '{{ indent 1000000000 "x" }}',
        '{{ nindent 100000 (repeat 1000 "\\n") }}',
        '{{ replace "x" (repeat 100000 "y") (repeat 1000 "x") }}',
        '{{ regexReplaceAll "x" (repeat 1000 "x") (repeat 10000 "y") }}',
        '{{ regexReplaceAll "(x+)" (repeat 1000 "x") (repeat 5000 "$1") }}',
        '{{ join (repeat 100000 "y") (until 1000) }}',
        '{{ wrapWith 1 (repeat 100000 "y") (repeat 1000 "x ") }}',
        "{{ randAlphaNum 100000000 }}",
        '{{ printf "%1000000d%1000000d" 1 2 }}',
        DOUBLING.replace("STEP", "print $x $x"),
        DOUBLING.replace("STEP", "cat $x $x"),
        DOUBLING.replace("STEP", 'printf "%s%s" $x $x'),
        DOUBLING.replace("STEP", 'tpl "{{ . }}{{ . }}" $x'),
        "{{ $x := list 1 }}{{ range until 60 }}{{ $x = concat $x $x }}{{ end }}",
        "{{ $x := list 1 }}{{ range until 40 }}{{ $x = list $x $x }}{{ end }}{{ toJson $x }}",
        "{{ $x := list 1 }}{{ range until 40 }}{{ $x = list $x $x }}{{ end }}{{ $x | toYaml | len }}{{ range until 1000000000 }}{{ end }}",
        "{{ $x := list 1 }}{{ range until 40 }}{{ $x = list $x $x }}{{ end }}{{ deepCopy $x | len }}",
        "{{ range until 10000 }}{{ range until 10000 }}{{ range until 10000 }}{{ end }}{{ end }}{{ end }}",
        '{{ range until 1000 }}{{ htpasswd "a" "b" }}{{ end }}',
    ],
)
def test_what_would_not_end_is_stopped(text: str) -> None:
    with pytest.raises(Exhausted, match=r"take more than 20000 steps|make more than 1000000 letters"):
        run(text)


@pytest.mark.parametrize(
    "text",
    [
        '{{ define "x" }}{{ include "x" . }}{{ end }}{{ include "x" . }}',
        '{{ define "x" }}{{ template "x" . }}{{ end }}{{ template "x" . }}',
        '{{ define "x" }}{{ include "y" . }}{{ end }}{{ define "y" }}{{ include "x" . }}{{ end }}{{ include "x" . }}',
        '{{ $t := "{{ tpl . . }}" }}{{ tpl $t $t }}',
    ],
)
def test_recursion_without_end_is_an_error(text: str) -> None:
    with pytest.raises((ExecError, Exhausted), match=r"nested|steps|unable to execute template"):
        run(text)


@pytest.mark.parametrize("function", ["mustToJson", "print", "deepCopy", "quote", 'printf "%v"'])
def test_values_that_contain_themselves_do_not_hang(function: str) -> None:
    with pytest.raises(ExecError, match=r"contains itself|nested too deeply"):
        run(f'{{{{ $d := dict }}}}{{{{ $_ := set $d "d" $d }}}}{{{{ {function} $d }}}}')


def test_a_value_that_contains_itself_is_written_as_nothing() -> None:
    assert run('{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ toYaml $d }}{{ toJson $d }}') == ""


def test_deep_nesting_is_refused_when_read() -> None:
    for text in ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "{{ if 1 }}" * 5000 + "{{ end }}" * 5000):
        with pytest.raises(ParseError, match="max expression depth exceeded"):
            run(text)


def test_expressions_that_stall_others_end_at_once() -> None:
    assert run('{{ regexMatch "(a+)+$" (print (repeat 50000 "a") "b") }}') == "false"
    with pytest.raises(ExecError, match="error parsing regexp"):
        run('{{ regexFind "(a{1000}){1000}" "a" }}')


def test_nothing_of_python_can_be_reached() -> None:
    for text in ('{{ ("").__class__ }}', "{{ .__class__ }}", "{{ (list).append }}", "{{ (now).__init__ }}"):
        with pytest.raises(ExecError, match="can't evaluate field"):
            run(text, "value")


WORDS = st.sampled_from(
    [
        "{{",
        "}}",
        "{{-",
        "-}}",
        "if",
        "end",
        "else",
        "range",
        "define",
        '"x"',
        "$x",
        ":=",
        "=",
        ".",
        ".a",
        "(",
        ")",
        "|",
        "1",
        "1.5",
        "include",
        "tpl",
        "list",
        "dict",
        "index",
        "printf",
        "toYaml",
        "nil",
        "true",
        "break",
        " ",
        "\n",
        "text",
        "/*",
        "*/",
        "`",
        "'",
    ]
)


@given(st.lists(WORDS, max_size=25).map(" ".join))
def test_any_text_runs_or_is_refused(text: str) -> None:
    with contextlib.suppress(ParseError, ExecError, Exhausted):
        run(text, {"a": {"b": [1.0, "x", None]}})


@given(st.text(max_size=40))
def test_any_letters_between_braces_run_or_are_refused(text: str) -> None:
    with contextlib.suppress(ParseError, ExecError, Exhausted):
        run("{{" + text + "}}", {"a": 1.0})
