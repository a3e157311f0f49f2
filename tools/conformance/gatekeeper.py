"""Runs Gatekeeper's library: each suite.yaml with its template, constraint and cases, as `gator verify` would."""

from __future__ import annotations

from pathlib import Path

from conformance import Rates
from fairlead.dialects import manifests
from fairlead.dialects.gatekeeper.suites import is_suite, judge_suite, read_suite
from fairlead.judge.reading import Source
from fairlead.keep.kinds import Catalogue
from fairlead.reactor.kindnames import KindNames


def parse(file: str, text: str) -> list[Source]:
    """Return the documents of a text."""
    return [Source(one.content, one.where) for one in manifests.parse(file, text)[0]]


def run(corpus: Path) -> Rates:
    """Run every case of every suite under the corpus' folder `gatekeeper`."""
    rates = Rates("gatekeeper")
    root = corpus / "gatekeeper"
    kinds = KindNames(Catalogue())
    for path in sorted(root.rglob("suite.yaml")):
        for source in parse(str(path), path.read_text()):
            if not is_suite(source.content):
                continue
            suite, findings = read_suite(str(path), source)
            files = {name: Path(name).read_text() for name in suite.files if Path(name).is_file()}
            rows, said = judge_suite(suite, files, parse=parse, kinds=kinds)
            where = path.parent.relative_to(root)
            for row in rows:
                name = f"{where}/{row.rule}/{row.resource}"
                if row.skipped:
                    rates.skipped[name] = "the suite skips it"
                elif row.broken:
                    rates.missed[name] = f"an evaluation failed: {row.message}"
                elif row.ok:
                    rates.passed += 1
                else:
                    rates.missed[name] = f"{row.got or 'no result'}, wanted {row.wanted}: {row.reason}"
            for finding in (*findings, *said):
                rates.skipped[f"{where}: {finding.where}"] = finding.message
    return rates


if __name__ == "__main__":
    import sys

    found = run(Path(sys.argv[1]))
    for case, reason in found.missed.items():
        print(f"missed {case}: {reason}")
    for case, reason in found.skipped.items():
        print(f"skipped {case}: {reason}")
    print(f"{found.passed} of {found.total}")
