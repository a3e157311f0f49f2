"""Published policies: each loads, and what of it is seen where is told. The expectations are by function, for a kernel without kprobes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.dialects.tracingpolicy import placing
from fairlead.dialects.tracingpolicy.assembling import Loaded, load
from fairlead.dialects.tracingpolicy.filters import Host

PLAIN = frozenset({"tracepoint", "rawtracepoint", "uprobe", "usdt"})
UNSEEN = {"override_creds", "revert_creds", "security_inode_follow_link", "ksys_sync_helper"}
"""Functions of these policies that nothing on a kernel without kprobes tells of."""
REFUSED = {"sys_symlinkat", "sys_linkat", "security_inode_mkdir", "bprm_check_security"}
"""Functions whose Override has no means there."""

pytestmark = pytest.mark.corpus


def every(corpus: Path) -> Iterator[tuple[str, Any]]:
    for path in sorted((corpus / "tetragon").rglob("*.y*ml")):
        for content in yaml.safe_load_all(path.read_text()):
            yield str(path.relative_to(corpus)), content


@pytest.fixture(scope="module")
def loaded(corpus: Path) -> dict[str, Loaded]:
    host = Host(namespaces=tuple(range(4026531830, 4026531840)))
    return {file: load([(file, content)], PLAIN, host) for file, content in every(corpus)}


def test_every_policy_loads_and_nothing_in_it_is_wrong_or_unknown(loaded: dict[str, Loaded]) -> None:
    assert len(loaded) >= 30
    for file, one in loaded.items():
        assert len(one.policies) == 1, file
        wrong = [
            said for said in one.findings if said.rule in {"tracingpolicy.invalid", "tracingpolicy.unknown"}
        ]
        assert not wrong, file


def test_what_is_seen_is_what_can_be(loaded: dict[str, Loaded]) -> None:
    for file, one in loaded.items():
        for row in one.placements:
            assert bool(row.used) is (row.function not in UNSEEN), (file, row)
        for said in one.findings:
            if said.rule == "tracingpolicy.unsupported":
                assert said.message.split()[0] in UNSEEN, (file, said.message)
                assert said.where.path.startswith(".spec."), file
                assert said.where.file == file


def test_what_is_refused_is_told_with_its_path(loaded: dict[str, Loaded]) -> None:
    refused = {
        said.message.removeprefix("Override of ").partition(":")[0]
        for one in loaded.values()
        for said in one.findings
        if said.rule == "tracingpolicy.refused" and said.message.startswith("Override")
    }
    assert refused == REFUSED
    for one in loaded.values():
        for said in one.findings:
            assert said.where.path.startswith(".spec")


def test_each_function_that_is_seen_has_a_rule_that_the_kernel_is_asked_for(
    loaded: dict[str, Loaded],
) -> None:
    for file, one in loaded.items():
        for rule in one.rules:
            silent = not rule.hooks and not rule.kinds
            quiet = {
                action.kind
                for probe in one.policies[0].probes
                for selector in probe.selectors
                for action in selector.actions
            } >= {"NoPost"}
            assert not silent or quiet, (file, rule.name)
            for hook in rule.hooks:
                assert hook.clauses, (file, rule.name)
                assert all(clause.owner == rule.key for clause in hook.clauses)
                assert all(len(clause.tests) <= 8 for clause in hook.clauses)


def test_with_kprobes_the_functions_themselves_are_hooked(corpus: Path) -> None:
    full = frozenset(
        {"kprobe", "fentry", "lsm", "uprobe", "usdt", "tracepoint", "override_return", "fmod_ret"}
    )
    for file, content in every(corpus):
        one = load([(file, content)], full)
        seen = [row for row in one.placements if not row.function.startswith(("sys_", "__x64_sys_"))]
        assert all(row.used for row in seen if row.function != "ksys"), file
        assert not [
            said
            for said in one.findings
            if said.rule == "tracingpolicy.refused" and "neither override" in said.message
        ], file


def test_a_row_for_each_function(loaded: dict[str, Loaded]) -> None:
    for one in loaded.values():
        rows = placing.placements(one.policies[0], PLAIN)
        assert len(rows) == sum(
            1 if probe.listed else max(len(probe.calls), 1) for probe in one.policies[0].probes
        )
