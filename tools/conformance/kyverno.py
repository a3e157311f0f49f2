"""How many rows of Kyverno's test files hold here: `python tools/conformance/kyverno.py CORPUS [--filter TEXT] [--all]`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent.parent.parent / "src")]

from conformance import Rates
from fairlead.dialects import manifests
from fairlead.dialects.kyverno.suites import Suite, is_suite, read_suite
from fairlead.dialects.kyverno.suites_running import judge_suite
from fairlead.judge.reading import Source
from fairlead.judge.suites import Row
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.applying import Applier
from fairlead.reactor.kindnames import KindNames
from fairlead.reactor.policies import load
from fairlead.words import Finding

NAMES = ("kyverno-test.yaml", "kyverno-test.yml")


def parse(file: str, text: str) -> Sequence[Source]:
    """Return the documents of a text."""
    return [Source(one.content, one.where) for one in manifests.parse(file, text)[0]]


def suites(folder: Path) -> Iterator[tuple[Suite, list[Finding], Mapping[str, str]]]:
    """Yield each test file under a folder, what is wrong with it, and the texts that it names."""
    for path in sorted(one for name in NAMES for one in folder.rglob(name)):
        for source in parse(str(path.relative_to(folder)), path.read_text()):
            if is_suite(source.content):
                suite, findings = read_suite(str(path.relative_to(folder)), source)
                yield suite, findings, dict(_texts(folder, suite.files))


def _texts(folder: Path, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        place = folder / name
        inside = sorted(place.iterdir()) if place.is_dir() else [place]
        for file in inside:
            if file.is_file() and file.suffix in {".yaml", ".yml", ".json"}:
                yield str(file.relative_to(folder)), file.read_text()


def rows(folder: Path, only: str = "") -> Iterator[tuple[str, Row, list[Finding]]]:
    """Yield each row of the tests whose folder's name holds `only`, with the test's name and the policies' findings."""
    kinds, merge = KindNames(Catalogue()), Applier(Catalogue()).merge
    for suite, wrong, files in suites(folder):
        if only in suite.file:
            said, findings = judge_suite(suite, files, parse=parse, load=load, kinds=kinds, merge=merge)
            for row in said:
                yield suite.file.rpartition("/.kyverno-test")[0], row, wrong + findings


def run(corpus: Path) -> Rates:
    """Run all test files of the corpus. A case is `folder: policy rule kind resource wanted`."""
    rates = Rates("kyverno")
    for test, row, _ in rows(corpus / "kyverno"):
        if row.ok:
            rates.passed += 1
        else:
            rates.missed[_name(test, row, rates.missed)] = row.reason
    return rates


def _name(test: str, row: Row, taken: Mapping[str, str]) -> str:
    name = f"{test}: {row.policy} {row.rule or '-'} {row.kind} {row.resource} {row.wanted}"
    count = 2
    while name in taken:
        name = f"{name.partition(' #')[0]} #{count}"
        count += 1
    return name


def main() -> None:
    """Print the misses and the rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--filter", default="", help="only tests whose folder's name holds this")
    parser.add_argument("--all", action="store_true", help="print rows that hold too")
    asked = parser.parse_args()
    start, count, good, told = time.perf_counter(), 0, 0, set()
    for test, row, findings in rows(asked.corpus / "kyverno", asked.filter):
        count += 1
        good += row.ok
        if asked.all or not row.ok:
            mark = "ok  " if row.ok else "MISS"
            print(f"{mark} {_name(test, row, {})}: {row.reason} [{row.message}]")
            for one in findings:
                line = f"     {one.rule} {one.where.path} {one.message}"
                if (test, line) not in told:
                    told.add((test, line))
                    print(line)
    share = 100 * good / count if count else 100.0
    print(f"{good} of {count} rows: {share:.2f}% in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
