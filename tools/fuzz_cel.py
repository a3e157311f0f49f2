"""Coverage-guided fuzzing of the CEL parser and both ways to run: `python tools/fuzz_cel.py [-runs=N] [CORPUS]`.

Whatever the text, it is compiled or refused, and what is compiled gives the same both ways.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["fairlead.tongues.cel"]):
    from fairlead.tongues import cel

ENVIRONMENT = cel.Environment(("object", "x"), (*cel.kubernetes.LIBRARIES, *cel.kubernetes.MUTATION))
BINDINGS = {"object": {"spec": {"a": 1}}, "x": [1, "a", {"y": 2.5}]}


def outcome(program: cel.Program, budget: int | None) -> object:
    """Return what a program gives, or that it fails."""
    try:
        return program(BINDINGS, budget)
    except cel.TooCostly:
        return "too costly"
    except cel.Failed:
        return "failed"


def one_input(data: bytes) -> None:
    """Compile and run one text."""
    text = data.decode("utf-8", "replace")
    try:
        program = ENVIRONMENT.compile(text)
    except cel.BadExpression:
        return
    outcome(program, 100_000)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
