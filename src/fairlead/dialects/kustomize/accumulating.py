"""A kustomization and all that it refers to: resources, bases, generators, components, transformers and validators, in that order.

Source: sigs.k8s.io/kustomize/api/internal/target. Raises Mistaken for what is wrong, and Lacking for what lies at addresses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fairlead.dialects.kustomize import (
    configurations,
    fields,
    generating,
    patching,
    plugins,
    transforming,
    variables,
)
from fairlead.dialects.kustomize.configurations import Configuration, Conflict
from fairlead.dialects.kustomize.fieldspecs import FieldSpec
from fairlead.dialects.kustomize.items import Item, Items, Origin
from fairlead.dialects.kustomize.patching import Transformer, refuse
from fairlead.dialects.kustomize.reading import NoResource, decoded, read
from fairlead.dialects.kustomize.reading import settings as read_settings
from fairlead.dialects.kustomize.roots import Refused, Root, is_address, shown
from fairlead.dialects.kustomize.scalars import copied
from fairlead.dialects.kustomize.schemas import Schemas
from fairlead.render.packages import Mistake, Mistaken
from fairlead.words import Where

API: Final = "kustomize.config.k8s.io"
_VERSIONS: Final = {"Kustomization": f"{API}/v1beta1", "Component": f"{API}/v1alpha1"}
_DEPRECATED: Final = {
    "bases": "resources",
    "commonLabels": "labels",
    "imageTags": "images",
    "patchesJson6902": "patches",
    "patchesStrategicMerge": "patches",
    "vars": "replacements",
}
_NEWEST: Final = "v1.21.2"
"""The only version of Kubernetes' own schema that kustomize has built in."""


@dataclass(slots=True)
class Collected:
    """What a kustomization has made: items, and what whoever refers to it has to finish."""

    items: Items
    configuration: Configuration = configurations.NONE
    variables: variables.Variables = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Build:
    """What all kustomizations of one rendering share. `deprecated` lists old fields that were used: file, field, what to use."""

    schemas: Schemas = field(default_factory=Schemas)
    deprecated: list[tuple[str, str, str]] = field(default_factory=list)


class Kustomization:
    """One kustomization, read and checked."""

    def __init__(self, root: Root, build: Build, said: dict[str, Any], name: str) -> None:
        self.root, self.build, self.said, self.name = root, build, said, name
        self.file = root.file(name)
        self.origin: Origin | None = None
        self.metadata: Sequence[str] = said.get("buildMetadata", ())

    @classmethod
    def read(cls, root: Root, build: Build) -> Kustomization:
        """Return the kustomization of a directory. Raises Mistaken."""
        name, body = root.kustomization()
        file = root.file(name)
        document = read_settings(body, file)
        if document is not None and type(document) is not dict:
            refuse("invalid Kustomization: a mapping is expected", file)
        reader = fields.Reader(file)
        said: dict[str, Any] = reader.read(document, fields.KUSTOMIZATION) or {}
        if reader.mistakes:
            raise Mistaken(
                *(replace(one, message=f"invalid Kustomization: {one.message}") for one in reader.mistakes)
            )
        build.deprecated.extend((file, old, new) for old, new in _DEPRECATED.items() if old in said)
        if all(value == "" for key, value in said.items() if key not in {"apiVersion", "kind"}):
            refuse(f"{name} is empty", file, hint="it names resources, or what is done to those of others")
        kind = said.get("kind") or "Kustomization"
        if kind not in _VERSIONS:
            refuse("kind should be Kustomization or Component", file, ".kind")
        version = said.get("apiVersion")
        if version and version != _VERSIONS[kind]:
            refuse(f"apiVersion for {kind} should be {_VERSIONS[kind]}", file, ".apiVersion")
        said["kind"] = kind
        return cls(root, build, said, name)

    def use_schema(self, *, top: bool) -> None:
        """Take the schema that `openapi` names, unless another kustomization did before. Raises Mistaken."""
        wanted: Mapping[str, str] = self.said.get("openapi", {})
        schemas = self.build.schemas
        if "path" in wanted:
            document = self._settings(wanted["path"], ".openapi.path")
            if schemas.chosen and not top:
                return
            if "version" in wanted:
                refuse("builtin version and custom schema provided, cannot use both", self.file, ".openapi")
            if type(document) is not dict:
                refuse("is no OpenAPI document", self.root.file(wanted["path"]))
            schemas.use(document)
        elif wanted.get("version") and not schemas.chosen:
            if wanted["version"] != _NEWEST:
                refuse(
                    "the specified OpenAPI version is not built in",
                    self.file,
                    ".openapi.version",
                    f"{_NEWEST} is",
                )
            schemas.version = wanted["version"]

    def collect(self, into: Collected) -> Collected:
        """Add what this kustomization makes to what is there. Raises Mistaken and Lacking."""
        said = self.said
        into = self._resources(into, [*said.get("resources", ()), *said.get("bases", ())], ".resources")
        into.configuration = self._configured(into.configuration)
        self._generate(into)
        into = self._components(into)
        self._transform(into)
        self._validate(into)
        variables.mark(into.items, said.get("vars", ()), self.file)
        variables.add(into.variables, said.get("vars", ()), self.file)
        return into

    def _configured(self, before: Configuration) -> Configuration:
        try:
            own = configurations.DEFAULT
            for at, named in enumerate(self.said.get("configurations", ())):
                own = own.joined(self._configuration(named, f".configurations[{at}]"))
            joined = before.joined(own)
            for at, named in enumerate(self.said.get("crds", ())):
                document = self._settings(named, f".crds[{at}]")
                if type(document) is not dict:
                    refuse("unable to parse open API definition", self.root.file(named))
                joined = joined.joined(configurations.of_crds(document))
            return joined
        except Conflict as conflict:
            refuse(str(conflict), self.file)

    def _configuration(self, named: str, path: str) -> Configuration:
        reader = fields.Reader(self.root.file(named), texts=True)
        document = reader.read(self._settings(named, path), fields.CONFIGURATION) or {}
        if reader.mistakes:
            raise Mistaken(*reader.mistakes)
        return configurations.read(document)

    def _settings(self, named: str, path: str) -> Any:
        try:
            return read_settings(self.root.load(named), self.root.file(named))
        except Refused as refused:
            refuse(refused.message, self.file, path, refused.hint)

    # resources

    def _resources(self, into: Collected, paths: Sequence[str], where: str) -> Collected:
        for at, path in enumerate(paths):
            here = f"{where}[{at}]"
            try:
                place = self.root.find(path)
            except Refused as refused:
                root = self._below(path, here, refused)
                into = self._directory(into, root, path, component=False)
                continue
            items = self._file(place, shown(place) if is_address(path) else self.root.file(path))
            if self.origin is not None:
                origin = self._origin_below(path)
                for item in items:
                    item.origin = origin
            into.items.extend(items)
        return into

    def _file(self, place: str, name: str) -> list[Item]:
        try:
            return read(decoded(self.root.tree.files[place], name), name)
        except NoResource as fault:
            raise Mistaken(Mistake(fault.message, Where(name, fault.line), fault.column)) from None

    def _below(self, path: str, where: str, refused: Refused | None = None) -> Root:
        try:
            return self.root.below(path)
        except Refused as fault:
            # what lies there as a file, and may not be loaded, is told of as such
            told = refused if refused is not None and "security" in refused.message else fault
            refuse(f"{path}: {told.message}", self.file, where, told.hint)

    def _directory(self, into: Collected, root: Root, path: str, *, component: bool) -> Collected:
        below = Kustomization.read(root, self.build)
        below.metadata = self.metadata
        below.origin = self._origin_below(path) if self.origin is not None else None
        below.use_schema(top=False)
        kind = below.said["kind"]
        if component and kind != "Component":
            refuse(
                f"expected kind 'Component' for path '{shown(root.path)}' but got '{kind}'",
                below.file,
                ".kind",
            )
        if not component and kind == "Component":
            refuse(
                f"expected kind != 'Component' for path '{shown(root.path)}'",
                below.file,
                ".kind",
                "name it under components",
            )
        if component:
            return below.collect(into)
        found = below.collect(Collected(Items(self.build.schemas)))
        into.items.extend(found.items)
        try:
            into.configuration = into.configuration.joined(found.configuration)
        except Conflict as conflict:
            refuse(str(conflict), below.file)
        variables.add(into.variables, found.variables.values(), below.file)
        return into

    def _components(self, into: Collected) -> Collected:
        for at, path in enumerate(self.said.get("components", ())):
            root = self._below(path, f".components[{at}]")
            into = self._directory(into, root, path, component=True)
        return into

    def _origin_below(self, path: str) -> Origin:
        assert self.origin is not None
        if not is_address(path):
            return self.origin.below(path)
        repo, _, rest = path.partition("?")
        ref = next((one[4:] for one in rest.split("&") if one.startswith("ref=")), "")
        return Origin(repo=repo, ref=ref)

    # generators

    def _generate(self, into: Collected) -> None:
        said = self.said
        shared = said.get("generatorOptions")
        for field_name, kind in (("configMapGenerator", "ConfigMap"), ("secretGenerator", "Secret")):
            origin = self._built_in(f"{kind}Generator")
            for at, one in enumerate(said.get(field_name, ())):
                settings = generating.with_defaults(one, shared)
                made = generating.generate(
                    "ConfigMap" if kind == "ConfigMap" else "Secret",
                    settings,
                    self.root,
                    self.file,
                    f".{field_name}[{at}]",
                )
                made.origin = origin
                generating.absorb(into.items, made)
        for field_name in ("helmCharts", "helmChartInflationGenerator"):
            if said.get(field_name):
                plugins.refuse_charts(self.file, f".{field_name}")
        for item in self._plugins("generators"):
            made = plugins.generator(item, self.root)
            made.origin = plugins.origin_of(item)
            generating.absorb(into.items, made)

    def _plugins(self, field_name: str) -> list[Item]:
        """Return the settings of transformers or generators that a field names or holds."""
        found = Collected(Items(self.build.schemas))
        paths = []
        for text in self.said.get(field_name, ()):
            try:
                inline = read(text, self.file)
            except NoResource:
                paths.append(text)
                continue
            if self.origin is not None:
                for item in inline:
                    item.origin = self.origin.below(self.name)
            found.items.extend(inline)
        return self._resources(found, paths, f".{field_name}").items.list

    def _built_in(self, kind: str) -> Origin | None:
        if self.origin is None:
            return None
        place = self.origin.below(self.name).path
        by = (("apiVersion", "builtin"), ("kind", kind))
        return Origin(repo=self.origin.repo, ref=self.origin.ref, configured_in=place, configured_by=by)

    # transformers

    def _transform(self, into: Collected) -> None:
        steps = [(step, self._built_in(kind)) for kind, step in self._transformers(into.configuration)]
        steps += [
            (plugins.transformer(item, self.root), plugins.origin_of(item))
            for item in self._plugins("transformers")
        ]
        for step, origin in steps:
            step(into.items)
            if origin is not None:
                for item in into.items:
                    if not item.data:
                        continue
                    if item.origin is None:
                        item.origin = origin
                    else:
                        item.transformations.append(origin)
                    item.unshare(item.data.get("metadata", {}).get("annotations"))
            into.items.drop_deleted()

    def _transformers(self, configuration: Configuration) -> Iterator[tuple[str, Transformer]]:
        said, root, file = self.said, self.root, self.file
        if said.get("patchesStrategicMerge"):
            yield (
                "PatchStrategicMergeTransformer",
                patching.strategic(said["patchesStrategicMerge"], "", root, file),
            )
        for at, one in enumerate(said.get("patches", ())):
            yield "PatchTransformer", patching.patch(one, root, file, f".patches[{at}]")
        if said.get("namespace"):
            yield (
                "NamespaceTransformer",
                transforming.namespace(said["namespace"], configuration.namespace, file),
            )
        if said.get("namePrefix"):
            yield "PrefixTransformer", transforming.affix(said["namePrefix"], "", configuration.name_prefix)
        if said.get("nameSuffix"):
            yield "SuffixTransformer", transforming.affix("", said["nameSuffix"], configuration.name_suffix)
        yield from self._labels(configuration)
        if said.get("commonAnnotations"):
            yield (
                "AnnotationsTransformer",
                transforming.entries(said["commonAnnotations"], configuration.annotations),
            )
        for at, one in enumerate(said.get("patchesJson6902", ())):
            yield "PatchJson6902Transformer", patching.operations(one, root, file, f".patchesJson6902[{at}]")
        for at, one in enumerate(said.get("replicas", ())):
            path = f".replicas[{at}]"
            yield (
                "ReplicaCountTransformer",
                transforming.replicas(
                    one.get("name", ""), one.get("count", 0), configuration.replicas, file, path
                ),
            )
        for one in (*said.get("images", ()), *said.get("imageTags", ())):
            yield "ImageTagTransformer", transforming.image(one, configuration.images)
        if said.get("replacements"):
            from fairlead.dialects.kustomize import replacing

            yield "ReplacementTransformer", replacing.replacements(said["replacements"], root, file)

    def _labels(self, configuration: Configuration) -> Iterator[tuple[str, Transformer]]:
        said = self.said
        try:
            for one in said.get("labels", ()):
                specs = configurations.merged(
                    tuple(FieldSpec.of(spec) for spec in one.get("fields", ())), configuration.labels
                )
                if one.get("includeSelectors"):
                    specs = configurations.merged(specs, configuration.common_labels)
                else:
                    if one.get("includeTemplates"):
                        specs = configurations.merged(specs, configuration.template_labels)
                    if one.get("includeVolumeClaimTemplates"):
                        specs = configurations.merged(specs, configuration.volume_claim_labels)
                    specs = configurations.merged(specs, (FieldSpec("metadata/labels", create=True),))
                yield "LabelTransformer", transforming.entries(one.get("pairs", {}), specs)
        except Conflict as conflict:
            refuse(f"failed to merge labels: {conflict}", self.file, ".labels")
        if said.get("labels") or said.get("commonLabels"):
            yield (
                "LabelTransformer",
                transforming.entries(said.get("commonLabels", {}), configuration.common_labels),
            )

    def _validate(self, into: Collected) -> None:
        for item in self._plugins("validators"):
            before = [copied(one.data) for one in into.items]
            plugins.transformer(item, self.root)(into.items)
            if [_unmarked(one) for one in before] != [_unmarked(copied(one.data)) for one in into.items]:
                refuse("validator shouldn't modify the resource map", item.file)


def _unmarked(data: Any) -> Any:
    labels = data.get("metadata", {}).get("labels") if type(data) is dict else None
    if type(labels) is dict:
        labels.pop("validated-by", None)
        if not labels:
            del data["metadata"]["labels"]
    return data
