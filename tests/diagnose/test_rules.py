"""The table of rules is whole: what the code can say is in it, and what is in it the code can say."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from fairlead.diagnose.rules import RULES, SYMPTOMS

SOURCE = Path(__file__).resolve().parents[2] / "src" / "fairlead"
CASES = Path(__file__).parent / "cases"
NO_RULES = frozenset(
    {"ca.crt", "cilium.io", "cluster.local", "docker.io", "fairlead.dev", "keda.sh", "kustomization.yaml", "kustomization.yml",
     "kyverno.io", "log.level", "module.yaml", "projectcalico.org", "render.seed", "timoni.cue", "tls.crt", "tls.key"}
)  # fmt: skip
"""What is written like the name of a rule and is none."""
NAME = re.compile(r'"([a-z]+\.[a-z]+)"')


def names() -> set[str]:
    files = [*SOURCE.glob("diagnose/**/*.py"), *SOURCE.glob("dialects/manifests/*.py")]
    files += [SOURCE / "dialects" / "kustomize" / "__init__.py"]
    files += [SOURCE / "reactor" / name for name in ("examine.py", "trees.py", "unwrapping.py")]
    found = {name for path in files if path.name != "rules.py" for name in NAME.findall(path.read_text())}
    return found - NO_RULES


def test_the_table_is_whole() -> None:
    assert names() - RULES.keys() - SYMPTOMS == set()
    assert RULES.keys() - names() == set()


def test_the_engine_s_rules_have_cases() -> None:
    used = {
        finding["rule"]
        for path in CASES.glob("*.yaml")
        for case in yaml.safe_load_all(path.read_text())
        for finding in case["findings"]
    }
    engine = {
        rule for rule in RULES if rule.split(".")[0] not in {"document", "object", "kustomization", "package"}
    }
    assert engine - used == set()
