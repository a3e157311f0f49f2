"""Kubernetes' own type definitions, read from the installed kubernetes-validate package.

Reads one JSON file as data; it must never import that package (slow) nor interpret what it reads.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import orjson

VERSION = "v1.32.0"
"""The Kubernetes release whose definitions are used."""

_MUTATING = "io.k8s.api.admissionregistration.v1alpha1.MutatingAdmissionPolicy"
_LATER = {f"{_MUTATING}{part}": ("v1beta1", "v1") for part in ("", "List", "Binding", "BindingList")}
"""Definitions that later releases serve unchanged in these versions too."""

_FILE = Path("kubernetes-json-schema") / f"{VERSION}-local" / "_definitions.json"


class DefinitionsMissing(Exception):
    """The package that carries the definitions is not installed, or not the one expected."""


def load() -> dict[str, Any]:
    """Return the definitions by their OpenAPI name, such as `io.k8s.api.core.v1.Pod`.

    Raises DefinitionsMissing.
    """
    spec = importlib.util.find_spec("kubernetes_validate")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(place) / _FILE
        try:
            document = orjson.loads(path.read_bytes())
        except FileNotFoundError:
            continue
        definitions: dict[str, Any] = document["$defs"]
        for name, versions in _LATER.items():
            names = definitions[name]["x-kubernetes-group-version-kind"]
            names += [{**names[0], "version": version} for version in versions]
        return definitions
    raise DefinitionsMissing(
        f"the Kubernetes definitions ({_FILE}) are missing: install the package kubernetes-validate"
    )
