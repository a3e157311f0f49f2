"""Transformers and generators that are files of their own: kustomize's built-in ones, by their settings.

Everything else (functions in containers, programs, Go plugins) is refused by its name: nothing foreign is ever run.
Source: sigs.k8s.io/kustomize/api/internal/plugins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fairlead.dialects.kustomize import fields, generating, patching, transforming
from fairlead.dialects.kustomize.fieldspecs import FieldSpec, Specs
from fairlead.dialects.kustomize.items import Item, Items, Origin
from fairlead.dialects.kustomize.patching import Transformer, refuse
from fairlead.dialects.kustomize.reading import settings as read_settings
from fairlead.dialects.kustomize.roots import Refused, Root
from fairlead.dialects.kustomize.scalars import plain
from fairlead.render.packages import Mistaken

_GENERATORS: Final = frozenset({"ConfigMapGenerator", "SecretGenerator", "IAMPolicyGenerator"})


def generator(item: Item, root: Root) -> Item:
    """Return the object that a generator's settings make. Raises Mistaken."""
    settings = _settings(item)
    if item.kind == "IAMPolicyGenerator":
        return generating.policy_of_account(settings, item.file)
    if item.kind not in _GENERATORS:
        refuse(
            f"plugin {item.kind} not a generator",
            item.file,
            hint=f"one of {', '.join(sorted(_GENERATORS))} is",
        )
    meta = settings.get("metadata", {})
    said = {**settings, **{key: settings.get(key) or meta.get(key, "") for key in ("name", "namespace")}}
    return generating.generate(
        "ConfigMap" if item.kind == "ConfigMapGenerator" else "Secret", said, root, item.file, ""
    )


def transformer(item: Item, root: Root) -> Transformer:
    """Return what a transformer's settings do. Raises Mistaken."""
    settings = _settings(item)
    if item.kind in _GENERATORS:
        refuse(f"plugin {item.kind} not a transformer", item.file)
    return _TRANSFORMERS[item.kind](settings, root, item.file)


def origin_of(item: Item) -> Origin | None:
    """Return what annotations say of a transformer or generator that came from a file."""
    if item.origin is None:
        return None
    by = (
        ("apiVersion", item.api_version),
        ("kind", item.kind),
        ("name", item.name),
        ("namespace", item.namespace),
    )
    return Origin(
        repo=item.origin.repo,
        ref=item.origin.ref,
        configured_in=item.origin.path,
        configured_by=tuple((key, value) for key, value in by if value),
    )


def _settings(item: Item) -> dict[str, Any]:
    if item.api_version != "builtin":
        what = _foreign(item)
        refuse(
            f"external plugins disabled; unable to load external plugin '{item.kind}'{what}",
            item.file,
            hint="fairlead runs kustomize's built-in transformers and generators (apiVersion: builtin) and nothing foreign",
        )
    if item.kind == "HelmChartInflationGenerator":
        refuse_charts(item.file, "")
    shape = fields.PLUGINS.get(item.kind)
    if shape is None:
        refuse(
            f"unable to load builtin {item.kind}",
            item.file,
            hint=f"there are {', '.join(sorted(fields.PLUGINS))}",
        )
    reader = fields.Reader(item.file, strict=False)
    found: dict[str, Any] = reader.read(plain(item.data), shape)
    if reader.mistakes:
        raise Mistaken(*reader.mistakes)
    return found


def refuse_charts(file: str, path: str) -> None:
    """Say that charts are not inflated within a tree. Raises Mistaken always."""
    refuse(
        "must specify --enable-helm: Helm charts within a Kustomize tree are not inflated here",
        file,
        path,
        "render the chart with `fairlead render CHART > chart.yaml` and name chart.yaml as a resource",
    )


def _foreign(item: Item) -> str:
    annotations = item.texts("annotations")
    said = annotations.get("config.kubernetes.io/function") or annotations.get("config.k8s.io/function")
    return f" (a function: {' '.join(said.split())})" if said else ""


def _specs(settings: Mapping[str, Any]) -> Specs:
    return tuple(FieldSpec.of(one) for one in settings.get("fieldSpecs", ()))


def _affix(settings: Mapping[str, Any], root: Root, file: str) -> Transformer:  # noqa: ARG001  as the others
    if "fieldSpecs" not in settings:
        refuse("fieldSpecs is not expected to be nil", file)
    specs = _specs(settings)
    steps = [
        transforming.affix(prefix, suffix, specs)
        for prefix, suffix in ((settings.get("prefix", ""), ""), ("", settings.get("suffix", "")))
        if prefix or suffix
    ]

    def run(items: Items) -> None:
        for step in steps:
            step(items)

    return run


def _namespace(settings: Mapping[str, Any], root: Root, file: str) -> Transformer:  # noqa: ARG001
    name = settings.get("metadata", {}).get("namespace", "")
    run = transforming.namespace(
        name,
        _specs(settings),
        file,
        unset_only=settings.get("unsetOnly", False),
        subjects=settings.get("setRoleBindingSubjects", ""),
    )
    return run if name else lambda _: None


def _replicas(settings: Mapping[str, Any], root: Root, file: str) -> Transformer:  # noqa: ARG001
    replica = settings.get("replica", {})
    return transforming.replicas(replica.get("name", ""), replica.get("count", 0), _specs(settings), file)


def _replacements(settings: Mapping[str, Any], root: Root, file: str) -> Transformer:
    from fairlead.dialects.kustomize import replacing  # only where a tree has some

    return replacing.replacements(list(settings.get("replacements", ())), root, file)


def _value_add(settings: Mapping[str, Any], root: Root, file: str) -> Transformer:
    value = settings.get("value", "").strip() or root.path.rpartition("/")[2]
    targets = list(settings.get("targets", ()))
    named = settings.get("targetFilePath", "")
    if named:
        try:
            document = read_settings(root.load(named), root.file(named))
        except Refused as refused:
            refuse(refused.message, file, ".targetFilePath", refused.hint)
        reader = fields.Reader(root.file(named), strict=False)
        targets += (reader.read(document, fields.TARGETS_FILE) or {}).get("targets", ())
        if reader.mistakes:
            raise Mistaken(*reader.mistakes)
    return transforming.value_add(value, targets, file)


_TRANSFORMERS: Final[Mapping[str, Callable[[Mapping[str, Any], Root, str], Transformer]]] = {
    "AnnotationsTransformer": lambda said, _root, _file: transforming.entries(
        said.get("annotations", {}), _specs(said)
    ),
    "HashTransformer": lambda _said, _root, _file: generating.add_hashes,
    "ImageTagTransformer": lambda said, _root, _file: transforming.image(
        said.get("imageTag", {}), _specs(said)
    ),
    "LabelTransformer": lambda said, _root, _file: transforming.entries(said.get("labels", {}), _specs(said)),
    "NamespaceTransformer": _namespace,
    "PatchJson6902Transformer": lambda said, root, file: patching.operations(
        {**said, "patch": said.get("jsonOp", "")}, root, file, ""
    ),
    "PatchStrategicMergeTransformer": lambda said, root, file: patching.strategic(
        said.get("paths", ()), said.get("patches", ""), root, file, ".paths"
    ),
    "PatchTransformer": lambda said, root, file: patching.patch(said, root, file, ""),
    "PrefixSuffixTransformer": _affix,
    "PrefixTransformer": _affix,
    "SuffixTransformer": _affix,
    "ReplacementTransformer": _replacements,
    "ReplicaCountTransformer": _replicas,
    "ValueAddTransformer": _value_add,
}
