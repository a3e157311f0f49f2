"""What a kustomization, and the settings of each transformer and generator, may say: their fields and types, checked as they are read.

A document is checked against a table and returned with its fields by their proper names; names are found whatever their case, as in Go.
A kustomization is read strictly: no unknown fields, no numbers where a text belongs. Settings of transformers are read leniently, where
what is unknown is passed over and numbers become texts. Source: sigs.k8s.io/kustomize/api/types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from fairlead.dialects.kustomize.scalars import number_text
from fairlead.render.packages import Mistake
from fairlead.words import Where


@dataclass(frozen=True, slots=True)
class Many:
    """A list of one sort of value."""

    of: Sort


@dataclass(frozen=True, slots=True)
class Texts:
    """A mapping of texts to texts."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A mapping with known fields."""

    fields: Mapping[str, Sort]
    folded: Mapping[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folded", {name.lower(): name for name in self.fields})


Sort: TypeAlias = Many | Texts | Shape | Literal["text", "flag", "integer", "any"]

TEXTS: Final = Texts()
_LIST: Final = Many("text")


def _shape(texts: str = "", **others: Sort) -> Shape:
    fields: dict[str, Sort] = dict.fromkeys(texts.split(), "text")
    return Shape({**fields, **others})


SPEC: Final = _shape("group version kind path", create="flag")
SPECS: Final = Many(SPEC)
SELECTOR: Final = _shape("group version kind name namespace annotationSelector labelSelector")
PATCH: Final = _shape(
    "path patch", target=SELECTOR, options=Shape({"allowNameChange": "flag", "allowKindChange": "flag"})
)
OPTIONS: Final = Shape(
    {"labels": TEXTS, "annotations": TEXTS, "disableNameSuffixHash": "flag", "immutable": "flag"}
)
_GENERATED: Final[Mapping[str, Sort]] = {
    **dict.fromkeys(("namespace", "name", "behavior", "env"), "text"),
    **dict.fromkeys(("literals", "files", "envs"), _LIST),
    "options": OPTIONS,
}
META: Final = _shape("name namespace", labels=TEXTS, annotations=TEXTS)
CONFIG_MAP: Final = Shape(_GENERATED)
SECRET: Final = Shape({**_GENERATED, "type": "text"})
IMAGE: Final = _shape("name newName tagSuffix newTag digest")
REPLICA: Final = _shape("name", count="integer")
_FIELD: Final = _shape("delimiter encoding", index="integer", create="flag")
REPLACEMENT: Final = _shape(
    "path sourceValue",
    source=_shape("group version kind name namespace fieldPath", options=_FIELD),
    targets=Many(
        Shape({"select": SELECTOR, "reject": Many(SELECTOR), "fieldPaths": _LIST, "options": _FIELD})
    ),
)
VARIABLE: Final = _shape(
    "name",
    objref=_shape("apiVersion group version kind name namespace"),
    fieldref=_shape("fieldPath"),
)
LABEL: Final = Shape(
    {
        "pairs": TEXTS,
        **dict.fromkeys(("includeSelectors", "includeTemplates", "includeVolumeClaimTemplates"), "flag"),
        "fields": SPECS,
    }
)
ORDER: Final = _shape("order", legacySortOptions=Shape({"orderFirst": _LIST, "orderLast": _LIST}))

KUSTOMIZATION: Final = Shape(
    {
        **dict.fromkeys(("apiVersion", "kind", "namePrefix", "nameSuffix", "namespace"), "text"),
        "metadata": META,
        **dict.fromkeys(("openapi", "commonLabels", "commonAnnotations"), TEXTS),
        "labels": Many(LABEL),
        **dict.fromkeys(
            (
                "patchesStrategicMerge",
                "resources",
                "components",
                "crds",
                "bases",
                "configurations",
                "generators",
                "transformers",
                "validators",
                "buildMetadata",
            ),
            _LIST,
        ),
        "patchesJson6902": Many(PATCH),
        "patches": Many(PATCH),
        "images": Many(IMAGE),
        "imageTags": Many(IMAGE),
        "replacements": Many(REPLACEMENT),
        "replicas": Many(REPLICA),
        "vars": Many(VARIABLE),
        "sortOptions": ORDER,
        "configMapGenerator": Many(CONFIG_MAP),
        "secretGenerator": Many(SECRET),
        "generatorOptions": OPTIONS,
        **dict.fromkeys(("helmGlobals", "helmCharts", "helmChartInflationGenerator"), "any"),
    }
)

CONFIGURATION: Final = Shape(
    {
        **dict.fromkeys(
            (
                "namePrefix",
                "nameSuffix",
                "namespace",
                "commonLabels",
                "labels",
                "templateLabels",
                "volumeClaimTemplateLabels",
                "commonAnnotations",
                "varReference",
                "images",
                "replicas",
            ),
            SPECS,
        ),
        "nameReference": Many(_shape("group version kind", fieldSpecs=SPECS)),
    }
)
"""A file that `configurations` names."""

_TARGETS: Final = Many(_shape("fieldPath", selector=SELECTOR, filePathPosition="integer"))
PLUGINS: Final[Mapping[str, Shape]] = {
    "AnnotationsTransformer": Shape({"annotations": TEXTS, "fieldSpecs": SPECS}),
    "ConfigMapGenerator": Shape({"metadata": META, **CONFIG_MAP.fields}),
    "HashTransformer": Shape({}),
    "IAMPolicyGenerator": _shape(
        "cloud", kubernetesService=_shape("name namespace"), serviceAccount=_shape("name projectId")
    ),
    "ImageTagTransformer": Shape({"imageTag": IMAGE, "fieldSpecs": SPECS}),
    "LabelTransformer": Shape({"labels": TEXTS, "fieldSpecs": SPECS}),
    "NamespaceTransformer": _shape(
        "setRoleBindingSubjects", metadata=META, fieldSpecs=SPECS, unsetOnly="flag"
    ),
    "PatchJson6902Transformer": _shape("path jsonOp", target=SELECTOR),
    "PatchStrategicMergeTransformer": _shape("patches", paths=_LIST),
    "PatchTransformer": PATCH,
    "PrefixSuffixTransformer": _shape("prefix suffix", fieldSpecs=SPECS),
    "PrefixTransformer": _shape("prefix", fieldSpecs=SPECS),
    "SuffixTransformer": _shape("suffix", fieldSpecs=SPECS),
    "ReplacementTransformer": Shape({"replacements": Many(REPLACEMENT)}),
    "ReplicaCountTransformer": Shape({"replica": REPLICA, "fieldSpecs": SPECS}),
    "SecretGenerator": Shape({"metadata": META, **SECRET.fields}),
    "ValueAddTransformer": _shape("value targetFilePath", targets=_TARGETS),
}
"""The settings of each transformer and generator that kustomize has built in."""

TARGETS_FILE: Final = Shape({"targets": _TARGETS})


class Reader:
    """Checks documents of one file; `mistakes` holds what was wrong."""

    def __init__(self, file: str, *, strict: bool = True, texts: bool = False) -> None:
        self.mistakes: list[Mistake] = []
        self._file = file
        self._strict = strict
        self._texts = texts or not strict

    def read(self, value: Any, sort: Sort, path: str = "") -> Any:
        """Return the value with its fields by their proper names; None where it is null or wrong."""
        if value is None:
            return None
        if sort == "any":
            return value
        if sort == "text":
            return self._text(value, path)
        if sort == "flag":
            return value if type(value) is bool else self._wrong(value, "true or false", path)
        if sort == "integer":
            if type(value) is float and value == int(value) and self._texts:
                return int(value)
            return value if type(value) is int else self._wrong(value, "a whole number", path)
        if isinstance(sort, Many):
            if type(value) is not list:
                return self._wrong(value, "a list", path)
            found = [self.read(one, sort.of, f"{path}[{at}]") for at, one in enumerate(value)]
            return [_EMPTY[_sort(sort.of)] if one is None else one for one in found]
        if type(value) is not dict:
            return self._wrong(value, "a mapping", path)
        if isinstance(sort, Texts):
            read = {key: self._text(one, f"{path}.{key}") for key, one in value.items()}
            return {key: one if one is not None else "" for key, one in read.items()}
        return self._fields(value, sort, path)

    def _fields(self, value: dict[str, Any], shape: Shape, path: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, one in value.items():
            name = key if key in shape.fields else shape.folded.get(key.lower(), "")
            if not name:
                if self._strict:
                    self._say(f'unknown field "{key}"', f"{path}.{key}", _near(key, shape))
                continue
            read = self.read(one, shape.fields[name], f"{path}.{name}")
            if read is not None:
                found[name] = read
        return found

    def _text(self, value: Any, path: str) -> str | None:
        if type(value) is str:
            return value
        if value is None:
            return None
        if self._texts and type(value) is bool:
            return "true" if value else "false"
        if self._texts and type(value) in {int, float}:
            return number_text(value) if type(value) is float else str(value)
        self._wrong(value, "a text", path)
        return None

    def _wrong(self, value: Any, wanted: str, path: str) -> Any:
        kind = _KINDS.get(type(value), "something else")
        hint = (
            f'write it in quotes: "{value}"'
            if wanted == "a text" and type(value) in {bool, int, float}
            else ""
        )
        if type(value) is bool and wanted == "a text":
            hint = "write it in quotes: YAML reads y, n, yes, no, on and off as booleans"
        self._say(f"cannot unmarshal {kind}: {wanted} belongs here", path, hint)
        return None

    def _say(self, message: str, path: str, hint: str = "") -> None:
        self.mistakes.append(Mistake(message, Where(self._file, 0, path), hint=hint))


_KINDS: Final = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a text",
    dict: "a mapping",
    list: "a list",
}
_EMPTY: Final[Mapping[str, Any]] = {
    "text": "",
    "shape": {},
    "texts": {},
    "many": [],
    "flag": False,
    "integer": 0,
    "any": None,
}


def _sort(sort: Sort) -> str:
    if isinstance(sort, str):
        return sort
    return {Many: "many", Texts: "texts", Shape: "shape"}[type(sort)]


def _near(key: str, shape: Shape) -> str:
    import difflib

    close = difflib.get_close_matches(key.lower(), shape.folded, 1, 0.7)
    return f'did you mean "{shape.folded[close[0]]}"?' if close else ""
