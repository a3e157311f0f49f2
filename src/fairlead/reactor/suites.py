"""Runs the test files that policies come with, as their own tools run them: Kyverno's kyverno-test.yaml and Gatekeeper's suite.yaml.

Finds the files under folders, reads what they name and hands it to the dialect; what a test means is the dialect's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairlead.dialects import manifests
from fairlead.judge.reading import Source
from fairlead.judge.suites import Row
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.applying import Applier
from fairlead.reactor.kindnames import KindNames
from fairlead.reactor.policies import load
from fairlead.words import Finding

_SUFFIXES = (".yaml", ".yml", ".json")
_KYVERNO = ("kyverno-test.yaml", "kyverno-test.yml")
_MARK = "test.gatekeeper.sh/"


@dataclass(frozen=True, slots=True)
class Run:
    """One test file: its rows, and what is wrong with it or with the policies that it names."""

    file: str
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]


def parse(file: str, text: str) -> Sequence[Source]:
    """Return the documents of a text."""
    return [Source(one.content, one.where) for one in manifests.parse(file, text)[0]]


def run(paths: Iterable[Path], only: str = "") -> Iterator[Run]:
    """Run every test file among the paths and under the folders whose path holds `only`, one after another. Raises OSError."""
    for path in _files(paths):
        if only not in str(path):
            continue
        text = path.read_text(errors="replace")
        if path.name in _KYVERNO or "cli.kyverno.io/" in text:
            yield from _kyverno(path, text)
        elif _MARK in text:
            yield from _gatekeeper(path, text)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.suffix in _SUFFIXES and one.is_file())
        else:
            path.stat()  # says what is wrong with the name
            yield path


def _texts(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of each file, and of each file in a folder, that is there."""
    for name in names:
        place = Path(name)
        inside = sorted(place.iterdir()) if place.is_dir() else [place]
        for file in inside:
            if file.is_file() and file.suffix in _SUFFIXES:
                yield str(file), file.read_text(errors="replace")


def _kyverno(path: Path, text: str) -> Iterator[Run]:
    from fairlead.dialects.kyverno.suites import is_suite, read_suite
    from fairlead.dialects.kyverno.suites_running import judge_suite

    for source in parse(str(path), text):
        if is_suite(source.content):
            suite, wrong = read_suite(str(path), source)
            files = dict(_texts(suite.files))
            rows, said = judge_suite(
                suite,
                files,
                parse=parse,
                load=load,
                kinds=KindNames(Catalogue()),
                merge=Applier(Catalogue()).merge,
            )
            yield Run(str(path), tuple(rows), (*wrong, *said))


def _gatekeeper(path: Path, text: str) -> Iterator[Run]:
    from fairlead.dialects.gatekeeper.suites import is_suite, judge_suite, read_suite

    for source in parse(str(path), text):
        if is_suite(source.content):
            suite, wrong = read_suite(str(path), source)
            files = dict(_texts(suite.files))
            rows, said = judge_suite(suite, files, parse=parse, kinds=KindNames(Catalogue()))
            yield Run(str(path), tuple(rows), (*wrong, *said))
