"""The timoni dialect: modules, bundles and runtimes as their makers wrote them. What is CUE in them somebody else evaluates.

`prepare` turns a module and values into a question for an evaluator, `finish` its answer into stages of objects; `bundles` does the same for
bundles and runtimes. Nothing here evaluates CUE or touches the world. Source: timoni.sh's documentation and its v1alpha1 API.
"""

from __future__ import annotations

from .bundles import (
    Bundle,
    Cluster,
    Instance,
    Query,
    Runtime,
    bundle_question,
    queries_question,
    read_bundle,
    read_queries,
    read_runtime,
    runtime_question,
)
from .documenting import document, read_rows, table
from .modules import NAME, finish, module_name, prepare
from .problems import mistaken

__all__ = [
    "NAME",
    "Bundle",
    "Cluster",
    "Instance",
    "Query",
    "Runtime",
    "bundle_question",
    "document",
    "finish",
    "mistaken",
    "module_name",
    "prepare",
    "queries_question",
    "read_bundle",
    "read_queries",
    "read_rows",
    "read_runtime",
    "runtime_question",
    "table",
]
