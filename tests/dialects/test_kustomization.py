"""Kustomizations: the list of resources is read, all else is reported by its path."""

from __future__ import annotations

from fairlead.dialects import kustomization
from fairlead.words import Where


def test_what_is_not_supported_is_reported_by_path() -> None:
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["a.yaml", "../base"],
        "bases": ["../older"],
        "namePrefix": "x-",
        "patches": [{"path": "patch.yaml"}, {"patch": "- op: remove"}],
        "patchesStrategicMerge": ["merge.yaml", "a:\n  b"],
    }
    model, findings = kustomization.read(content, "kustomization.yaml", lambda path: Where("k.yaml", 7, path))
    assert model.resources == ("a.yaml", "../base", "../older")
    assert model.parts == ("patch.yaml", "merge.yaml")
    assert [one.where.path for one in findings] == [".namePrefix", ".patches", ".patchesStrategicMerge"]
    assert all(one.severity == "info" and one.where.line == 7 for one in findings)


def test_the_tables_name_what_is_read() -> None:
    assert ("kustomize.config.k8s.io", "Kustomization") in kustomization.READS
