"""Kubernetes' definitions, as installed."""

import importlib.util

import pytest

from fairlead.drivers import definitions


def test_the_definitions_are_those_of_kubernetes() -> None:
    found = definitions.load()
    pod = found["io.k8s.api.core.v1.Pod"]
    assert pod["x-kubernetes-group-version-kind"] == [{"group": "", "kind": "Pod", "version": "v1"}]
    containers = found["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"


def test_a_missing_package_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(definitions.DefinitionsMissing, match="install the package kubernetes-validate"):
        definitions.load()
