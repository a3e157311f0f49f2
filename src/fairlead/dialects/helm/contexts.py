"""What templates have at hand beside values: the release, the chart, its files, and what the cluster can do.

Must never hand out what a chart must not see: files of other charts, or anything of this machine.
Source: helm.sh/helm/v3/pkg/engine and pkg/chartutil/capabilities.go.
"""

from __future__ import annotations

import base64
import posixpath
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from fairlead.dialects.helm.charts import Chart
from fairlead.render.packages import Capabilities, Context
from fairlead.tongues import regexes
from fairlead.tongues.gotemplate import FileMap, Function, Named, Struct, VersionSet
from fairlead.tongues.gotemplate.kinds import StringMap, Strings, textual
from fairlead.tongues.gotemplate.yamlwriting import dump

HELM: Final = "v3.22"
"""The version of Helm that templates are told."""
KNOWN: Final = [
    "v1",
    "admissionregistration.k8s.io/v1",
    "admissionregistration.k8s.io/v1alpha1",
    "admissionregistration.k8s.io/v1beta1",
    "internal.apiserver.k8s.io/v1alpha1",
    "apps/v1",
    "apps/v1beta1",
    "apps/v1beta2",
    "authentication.k8s.io/v1",
    "authentication.k8s.io/v1alpha1",
    "authentication.k8s.io/v1beta1",
    "authorization.k8s.io/v1",
    "authorization.k8s.io/v1beta1",
    "autoscaling/v1",
    "autoscaling/v2",
    "batch/v1",
    "batch/v1beta1",
    "certificates.k8s.io/v1",
    "certificates.k8s.io/v1beta1",
    "certificates.k8s.io/v1alpha1",
    "coordination.k8s.io/v1alpha2",
    "coordination.k8s.io/v1beta1",
    "coordination.k8s.io/v1",
    "discovery.k8s.io/v1",
    "discovery.k8s.io/v1beta1",
    "events.k8s.io/v1",
    "events.k8s.io/v1beta1",
    "extensions/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1beta2",
    "flowcontrol.apiserver.k8s.io/v1beta3",
    "lifecycle.k8s.io/v1alpha1",
    "networking.k8s.io/v1",
    "networking.k8s.io/v1beta1",
    "node.k8s.io/v1",
    "node.k8s.io/v1alpha1",
    "node.k8s.io/v1beta1",
    "policy/v1",
    "policy/v1beta1",
    "rbac.authorization.k8s.io/v1",
    "rbac.authorization.k8s.io/v1beta1",
    "rbac.authorization.k8s.io/v1alpha1",
    "resource.k8s.io/v1",
    "resource.k8s.io/v1beta2",
    "resource.k8s.io/v1beta1",
    "resource.k8s.io/v1alpha3",
    "scheduling.k8s.io/v1alpha3",
    "scheduling.k8s.io/v1beta1",
    "scheduling.k8s.io/v1",
    "storage.k8s.io/v1beta1",
    "storage.k8s.io/v1",
    "storage.k8s.io/v1alpha1",
    "storagemigration.k8s.io/v1",
    "storagemigration.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1",
]
"""What a cluster is taken to serve where nobody asked one."""


def capabilities(given: Capabilities) -> Struct:
    """Return `.Capabilities`. What is named of a cluster that serves v1 is all that it serves, else it is added to KNOWN."""
    served = VersionSet(
        sorted(given.serves) if "v1" in given.serves else [*KNOWN, *sorted(given.serves - set(KNOWN))]
    )
    names = frozenset(served)
    served.methods = {"Has": Function(lambda name: name in names, "s")}
    version = given.version if given.version.startswith("v") else f"v{given.version}"
    parts = re.match(r"v(\d+)\.(\d+)", version)
    kube = Struct(
        "chartutil.KubeVersion",
        {"Version": version, "Major": parts[1] if parts else "", "Minor": parts[2] if parts else ""},
        {"String": Function(lambda: version), "GitVersion": Function(lambda: version)},
        addressed=lambda: version,
    )
    helm = Struct(
        "version.BuildInfo",
        {"Version": HELM, "GitCommit": "", "GitTreeState": "", "GoVersion": "go1.24"},
        tags={
            "Version": "version",
            "GitCommit": "git_commit",
            "GitTreeState": "git_tree_state",
            "GoVersion": "go_version",
        },
        omitted=frozenset({"Version", "GitCommit", "GitTreeState", "GoVersion"}),
    )
    return Struct(
        "chartutil.Capabilities",
        {"KubeVersion": kube, "APIVersions": served, "HelmVersion": helm},
        pointer=True,
    )


def release(context: Context) -> dict[str, Any]:
    """Return `.Release`."""
    return {
        "Name": context.name,
        "Namespace": context.namespace,
        "IsUpgrade": context.moment != "install",
        "IsInstall": context.moment == "install",
        "Revision": context.revision,
        "Service": "Helm",
    }


def _lower(name: str) -> str:
    return {"APIVersion": "apiVersion", "AppVersion": "appVersion", "KubeVersion": "kubeVersion"}.get(
        name, name[0].lower() + name[1:]
    )


_FIELDS: Final = [
    "Name",
    "Home",
    "Sources",
    "Version",
    "Description",
    "Keywords",
    "Maintainers",
    "Icon",
    "APIVersion",
    "Condition",
    "Tags",
    "AppVersion",
    "Deprecated",
    "Annotations",
    "KubeVersion",
    "Dependencies",
    "Type",
]


def described(chart: Chart) -> Struct:
    """Return `.Chart`: the fields of Chart.yaml, with capitals, and whether it is the chart that is rendered."""
    metadata = chart.metadata
    fields: dict[str, Any] = {}
    for name in _FIELDS:
        value = metadata.get(_lower(name))
        match name:
            case "Sources" | "Keywords":
                fields[name] = Strings(value or ())
            case "Annotations":
                fields[name] = StringMap(value or {})
            case "Deprecated":
                fields[name] = value is True
            case "Maintainers":
                fields[name] = [
                    Struct(
                        "chart.Maintainer",
                        {key: item.get(key.lower()) or "" for key in ("Name", "Email", "URL")},
                        pointer=True,
                        tags={"Name": "name", "Email": "email", "URL": "url"},
                        omitted=frozenset({"Email", "URL"}),
                    )
                    for item in value or ()
                    if isinstance(item, dict)
                ]
            case "Dependencies":
                fields[name] = [
                    Struct(
                        "chart.Dependency",
                        {
                            "Name": wanted.name,
                            "Version": wanted.version,
                            "Repository": wanted.repository,
                            "Condition": wanted.condition,
                            "Tags": Strings(wanted.tags),
                            "Enabled": wanted.enabled,
                            "ImportValues": wanted.imports,
                            "Alias": wanted.alias,
                        },
                        pointer=True,
                        tags={
                            "ImportValues": "import-values",
                            **{each: each.lower() for each in _DEPENDENCY},
                        },
                        omitted=frozenset(_DEPENDENCY) - {"Name", "Repository"} | {"ImportValues"},
                    )
                    for wanted in chart.wanted
                ]
            case _:
                fields[name] = value or ""
    fields["IsRoot"] = chart.parent is None
    return Struct(
        "struct { chart.Metadata; IsRoot bool }",
        fields,
        tags={name: _lower(name) for name in _FIELDS},
        omitted=frozenset(_FIELDS),
    )


_DEPENDENCY: Final = ("Name", "Version", "Repository", "Condition", "Tags", "Enabled", "Alias")


def files(held: Mapping[str, bytes]) -> FileMap:
    """Return `.Files`."""
    made = FileMap(held)

    def get(name: str) -> str:
        return textual(made.get(name, b""))

    def glob(pattern: str) -> FileMap:
        fits = _globbed(pattern)
        return files({name: data for name, data in made.items() if fits.fullmatch(name)})

    def config() -> str:
        return dump({posixpath.basename(name): textual(made[name]) for name in sorted(made)})

    def secrets() -> str:
        return dump(
            {posixpath.basename(name): base64.b64encode(made[name]).decode() for name in sorted(made)}
        )

    def lines(name: str) -> list[str]:
        text = get(name)
        return Strings(text.removesuffix("\n").split("\n") if text else ())

    made.methods = {
        "AsConfig": Function(config),
        "AsSecrets": Function(secrets),
        "Get": Function(get, "s"),
        "GetBytes": Function(lambda name: made.get(name, b""), "s"),
        "Glob": Function(glob, "s"),
        "Lines": Function(lines, "s"),
    }
    return made


@lru_cache(maxsize=512)
def _globbed(pattern: str) -> Any:
    """The expression of a glob in which * stays within a folder and ** does not; one that is wrong fits everything."""
    parts: list[str] = []
    at, braces = 0, 0
    while at < len(pattern):
        letter = pattern[at]
        at += 1
        if letter == "*":
            double = pattern.startswith("*", at)
            at += double
            parts.append(".*" if double else "[^/]*")
        elif letter == "?":
            parts.append("[^/]")
        elif letter == "[":
            end = pattern.find("]", at + 1)
            if end < 0:
                return regexes.compile("(?s).*")
            inner = pattern[at:end].replace("\\", "\\\\")
            parts.append(f"[{'^' + inner[1:] if inner[:1] == '!' else inner}]")
            at = end + 1
        elif letter == "{":
            braces += 1
            parts.append("(?:")
        elif letter == "}" and braces:
            braces -= 1
            parts.append(")")
        elif letter == "," and braces:
            parts.append("|")
        else:
            if letter == "\\" and at < len(pattern):
                letter = pattern[at]
                at += 1
            parts.append(re.escape(letter))
    try:
        return regexes.compile("(?s)" + "".join(parts) if not braces else "(?s).*")
    except regexes.BadPattern:
        return regexes.compile("(?s).*")


def scopes(
    chart: Chart, values: dict[str, Any], shared: Mapping[str, Any]
) -> list[tuple[Chart, dict[str, Any]]]:
    """Return each chart with the data that its templates get; `shared` has Release and Capabilities."""
    found: list[tuple[Chart, dict[str, Any]]] = []
    _scope(chart, Named(values), shared, found)
    return found


def _scope(
    chart: Chart, values: Named, shared: Mapping[str, Any], found: list[tuple[Chart, dict[str, Any]]]
) -> dict[str, Any]:
    inside: dict[str, Any] = {}
    data: dict[str, Any] = {
        "Chart": described(chart),
        "Files": files(chart.files),
        **shared,
        "Values": values,
        "Subcharts": inside,
    }
    found.append((chart, data))
    for inner in chart.inside:
        # The same mapping is seen from above and from inside: what one sets, the other finds.
        given = values[inner.name] = _named(values.get(inner.name))
        inside[inner.name] = _scope(inner, given, shared, found)
    return data


def _named(values: Any) -> Named:
    """The values of a chart inside, as the chart itself sees them."""
    return values if isinstance(values, Named) else Named(values) if isinstance(values, dict) else Named()
