"""The documentation says what the code says: generated pages are current, and links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("page", "command"),
    [
        ("docs/kinds.md", ["tools/make_kinds_table.py"]),
        ("docs/findings.md", ["-m", "fairlead.faces.cli.findings"]),
        ("docs/policies.md", ["tools/make_policies_table.py"]),
        ("docs/practices.md", ["tools/make_practices_table.py"]),
        ("docs/popeye.md", ["tools/make_popeye_table.py"]),
        ("docs/tracee.md", ["tools/make_tracee_table.py"]),
        ("docs/sense.md", ["tools/make_sense_table.py"]),
        ("docs/modules.md", ["tools/make_modules_page.py"]),
    ],
)
def test_generated_pages_are_current(page: str, command: list[str]) -> None:
    made = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (ROOT / page).read_text() == made.stdout, f"run: python {' '.join(command)} > {page}"


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")), ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_commands_of_the_readme_exist() -> None:
    from fairlead.faces.cli.main import VERBS

    readme, known = (ROOT / "README.md").read_text(), {verb for verb, _, _ in VERBS}
    verbs = set(re.findall(r"(?:^|\s\s|\$ |\| )fairlead ([a-z]+)", readme, flags=re.MULTILINE))
    assert len(verbs) >= 6
    assert verbs - known == set()
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?:^|`)make ([a-z]+)", readme, flags=re.MULTILINE))
    assert targets >= {"demo", "test"}
    assert [target for target in targets if f"\n{target}:" not in makefile] == []
