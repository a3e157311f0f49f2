"""The top of the command line: the table of verbs says what the verbs say of themselves, and only the typed one is loaded."""

from __future__ import annotations

import argparse
import subprocess
import sys

import pytest

from fairlead.faces.cli.main import GROUPS, VERBS, main, parser


def declared(top: argparse.ArgumentParser) -> dict[str, str]:
    """Return each verb of a parser with its line in the list of commands."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            listed = {one.dest: one.help or "" for one in action._choices_actions}
            return {verb: listed.get(verb, "") for verb in action.choices}
    raise AssertionError


def test_the_table_of_verbs_says_what_the_verbs_say() -> None:
    assert declared(parser()) == {verb: text for verb, _, text in VERBS}


def test_every_verb_is_listed_below_one_heading() -> None:
    listed = [verb for _, verbs in GROUPS for verb in verbs.split()]
    assert sorted(listed) == sorted(verb for verb, _, text in VERBS if text)


def test_the_list_of_commands_needs_no_verb() -> None:
    assert parser(["--help"]).format_help() == parser().format_help()


def test_only_the_verb_that_was_typed_is_loaded() -> None:
    script = (
        "import sys\nfrom fairlead.faces.cli.main import parser\nparser(['version']).parse_args(['version'])\n"
        "print(*sorted(m for m in sys.modules if m.startswith('fairlead.faces.cli.')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "lifecycle" in done.stdout
    assert "diagnose" not in done.stdout
    assert "asyncio" not in done.stdout


def test_a_misspelt_verb_is_told_its_neighbour(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnos"]) == 2
    assert (
        capsys.readouterr().err
        == 'fairlead: error: there is no command "diagnos"\n  did you mean: fairlead diagnose\n'
    )
    assert main(["xyzzy"]) == 2
    assert "fairlead --help" in capsys.readouterr().err
