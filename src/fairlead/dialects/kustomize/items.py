"""Items: resources on their way through a tree, what they were called before, and collections of them.

An item remembers the names, namespaces and kinds that it had, since references, patches and selectors may use any of them.
Source: sigs.k8s.io/kustomize/api/resource and api/resmap, where this is kept in annotations (`internal.config.kubernetes.io/...`);
such annotations in the input are understood, and never come out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, TypeAlias

from fairlead.dialects.kustomize.scalars import copied, nothing, text
from fairlead.dialects.kustomize.schemas import Schemas
from fairlead.render.packages import Mistake, Mistaken
from fairlead.words import Where

CLUSTER: Final = "_non_namespaceable_"
"""The namespace in the identity of an object that has none."""

_BUILD: Final = "internal.config.kubernetes.io/"
_INTERNAL: Final = frozenset(
    {
        *(
            f"{_BUILD}{name}"
            for name in [
                "previousKinds",
                "previousNames",
                "prefixes",
                "suffixes",
                "previousNamespaces",
                "allowNameChange",
                "allowKindChange",
                "refBy",
                "generatorBehavior",
                "needsHashSuffix",
                "path",
                "index",
                "seqindent",
                "id",
                "annotations-migration-resource-id",
            ]
        ),
        "config.kubernetes.io/path",
        "config.kubernetes.io/index",
        "config.k8s.io/id",
        "kustomize.config.k8s.io/helm-generated",
    }
)
_MARKED: Final = (_BUILD, "config.kubernetes.io/", "config.k8s.io/", "kustomize.config.k8s.io/")


class Id(NamedTuple):
    """What identifies an object: two that are equal are the same object. `namespace` is `default` for "", or CLUSTER."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def group(self) -> str:
        """The group, "" for the core group."""
        return self.api_version.partition("/")[0] if "/" in self.api_version else ""

    @property
    def version(self) -> str:
        """The version."""
        return self.api_version.partition("/")[2] if "/" in self.api_version else self.api_version

    def __str__(self) -> str:
        """As kustomize tells it: `Deployment.v1.apps/name.namespace`."""
        namespace = "[noNs]" if self.namespace in {"default", CLUSTER} else self.namespace
        kind = ".".join((self.kind or "[noKind]", self.version or "[noVer]", self.group or "[noGrp]"))
        return f"{kind}/{self.name or '[noName]'}.{namespace}"


class Former(NamedTuple):
    """What an item was called once."""

    namespace: str
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an item came from, or what changed it: paths relative to the target, as kustomize writes them into annotations."""

    path: str = ""
    repo: str = ""
    ref: str = ""
    configured_in: str = ""
    configured_by: tuple[tuple[str, str], ...] = ()

    def document(self) -> dict[str, Any]:
        """Return the annotation's content."""
        said = (
            ("path", self.path),
            ("repo", self.repo),
            ("ref", self.ref),
            ("configuredIn", self.configured_in),
            ("configuredBy", dict(self.configured_by)),
        )
        return {key: value for key, value in said if value}

    def below(self, path: str) -> Origin:
        """Return the origin of something that this names by a path."""
        parts: list[str] = []
        for part in f"{self.path}/{path}".split("/"):
            if part == ".." and parts and parts[-1] != "..":
                parts.pop()
            elif part not in {"", "."}:
                parts.append(part)
        return replace(self, path="/".join(parts) or ".")


Shared: TypeAlias = dict[tuple[int, Any], list[tuple[Any, Any]]]
"""By the id of a mapping and a key in it: the places that hold one and the same scalar."""


class Item:
    """One resource: its `data`, which transformers change in place, and what is known about it. `data` is None once it is deleted.

    A label that was added in several places at once is one scalar there: `shared` knows which, and who changes it in one place changes
    it in all (a patch of a label in an overlay changes the selector too, as in kustomize).
    """

    __slots__ = (
        "behavior",
        "change_kind",
        "change_name",
        "data",
        "file",
        "former",
        "from_chart",
        "hashed",
        "origin",
        "prefixes",
        "shared",
        "suffixes",
        "transformations",
        "variables",
    )

    def __init__(self, data: dict[str, Any] | None, file: str = "") -> None:
        self.data: Any = data
        self.file = file
        self.former: list[Former] = []
        self.prefixes: list[str] = []
        self.suffixes: list[str] = []
        self.behavior = ""
        self.hashed = False
        self.change_name = False
        self.change_kind = False
        self.from_chart = False
        self.origin: Origin | None = None
        self.transformations: list[Origin] = []
        self.variables: list[str] = []
        self.shared: Shared = {}

    @classmethod
    def read(cls, data: dict[str, Any], file: str) -> Item:
        """Return the item for a resource as it was read, with what its annotations say for kustomize."""
        found = cls(data, file)
        meta = data.get("metadata")
        annotations = meta.get("annotations") if type(meta) is dict else None
        if type(annotations) is dict and annotations:
            for key in annotations:
                if key.startswith(_MARKED):
                    found._understand(annotations)
                    break
        return found

    def _understand(self, annotations: dict[str, Any]) -> None:
        said = {key: text(annotations.pop(key)) for key in list(annotations) if key in _INTERNAL}
        self.hashed = said.get(f"{_BUILD}needsHashSuffix") == "enabled"
        self.change_name = said.get(f"{_BUILD}allowNameChange") == "enabled"
        self.change_kind = said.get(f"{_BUILD}allowKindChange") == "enabled"
        self.behavior = said.get(f"{_BUILD}generatorBehavior", "")
        names, namespaces, kinds = (
            said[f"{_BUILD}{key}"].split(",") if f"{_BUILD}{key}" in said else []
            for key in ("previousNames", "previousNamespaces", "previousKinds")
        )
        if len(names) == len(namespaces) == len(kinds):
            self.former = [
                Former(ns or "default", name, kind)
                for ns, name, kind in zip(namespaces, names, kinds, strict=True)
            ]
        self.prefixes = said[f"{_BUILD}prefixes"].split(",") if f"{_BUILD}prefixes" in said else []
        self.suffixes = said[f"{_BUILD}suffixes"].split(",") if f"{_BUILD}suffixes" in said else []
        self.from_chart = said.get("kustomize.config.k8s.io/helm-generated") == "true"

    def copy(self) -> Item:
        """Return an item that shares nothing with this one."""
        found = Item(copied(self.data), self.file)
        found.former, found.prefixes, found.suffixes = (
            list(self.former),
            list(self.prefixes),
            list(self.suffixes),
        )
        found.behavior, found.hashed, found.from_chart = self.behavior, self.hashed, self.from_chart
        found.change_name, found.change_kind = self.change_name, self.change_kind
        found.origin, found.transformations = self.origin, list(self.transformations)
        found.variables = list(self.variables)
        return found

    @property
    def api_version(self) -> str:
        """The apiVersion, "" where there is none."""
        value = self.data.get("apiVersion", "")
        return value if type(value) is str else text(value)

    @property
    def kind(self) -> str:
        """The kind."""
        value = self.data.get("kind", "")
        return value if type(value) is str else text(value)

    @property
    def name(self) -> str:
        """The name that it has now."""
        return self._meta("name")

    @property
    def namespace(self) -> str:
        """The namespace that it has now, "" where none is written."""
        return self._meta("namespace")

    def _meta(self, key: str) -> str:
        meta = self.data.get("metadata")
        value = meta.get(key) if type(meta) is dict else None
        return value if type(value) is str else "" if nothing(value) else text(value)

    def id(self, schemas: Schemas) -> Id:
        """Return what identifies it now."""
        data = self.data
        meta = data.get("metadata")
        if type(meta) is not dict:
            meta = {}
        api_version, kind, name = data.get("apiVersion"), data.get("kind"), meta.get("name")
        api_version = api_version if type(api_version) is str else self.api_version
        kind = kind if type(kind) is str else self.kind
        name = name if type(name) is str else self.name
        if schemas.cluster_scoped(api_version, kind):
            return Id(api_version, kind, CLUSTER, name)
        return Id(api_version, kind, self.namespace or "default", name)

    def former_ids(self) -> list[Id]:
        """Return what identified it before, oldest first."""
        api_version = self.api_version
        return [Id(api_version, kind, namespace, name) for namespace, name, kind in self.former]

    def original(self, schemas: Schemas) -> Id:
        """Return what identified it first."""
        if self.former:
            first = self.former[0]
            return Id(self.api_version, first.kind, first.namespace, first.name)
        return self.id(schemas)

    @property
    def written(self) -> tuple[str, str, str]:
        """The kind, the namespace and the name that it was read with; the namespace is `default` where it had none."""
        if self.former:
            namespace, name, kind = self.former[0]
            return kind, "default" if namespace == CLUSTER else namespace, name
        return self.kind, self.namespace or "default", self.name

    def remember(self, schemas: Schemas) -> None:
        """Note what it is called now, as it is about to be called something else."""
        now = self.id(schemas)
        if not now.name and not self.former:
            return
        if not now.name or not now.kind:
            raise Mistaken(Mistake("has lost its kind or name on the way", Where(self.file)))
        self.former.append(Former(now.namespace, now.name, now.kind))

    def meta(self) -> dict[str, Any]:
        """Return its metadata, made where there is none."""
        meta: Any = self.data.get("metadata")
        if type(meta) is dict:
            return meta
        made: dict[str, Any] = {}
        self.data["metadata"] = made
        return made

    def rename(self, name: str) -> None:
        """Set its name."""
        self.meta()["name"] = name

    def move(self, namespace: str) -> None:
        """Set its namespace; "" removes it."""
        if namespace:
            self.meta()["namespace"] = namespace
        else:
            self.meta().pop("namespace", None)

    def put(self, holder: Any, key: Any, value: Any) -> None:
        """Set a field, and whatever is one with it."""
        holder[key] = value
        if self.shared:
            for other, name in self.shared.get((id(holder), key), ()):
                other[name] = value

    def forget(self) -> None:
        """Forget what it was called, as kustomize does once annotations are removed or replaced as a whole."""
        self.former, self.prefixes, self.suffixes = [], [], []
        self.hashed, self.behavior = False, ""
        self.origin, self.transformations = None, []

    def unshare(self, holder: Any) -> None:
        """Note that what a mapping holds is its own from now on."""
        for known in [one for one in self.shared if one[0] == id(holder)]:
            group = self.shared.pop(known)
            group[:] = [one for one in group if one[0] is not holder]

    def texts(self, field: str) -> dict[str, str]:
        """Return its labels or annotations as texts."""
        meta = self.data.get("metadata")
        found = meta.get(field) if type(meta) is dict else None
        return {key: text(value) for key, value in found.items()} if type(found) is dict else {}

    def set_texts(self, field: str, values: dict[str, str]) -> None:
        """Set its labels or annotations; none removes the field."""
        meta = self.meta()
        meta.pop(field, None)
        if values:
            meta[field] = values

    def take_over(self, other: Item) -> None:
        """Become the successor of another item: its name, what it was called, and its labels and annotations where this says nothing."""
        self.set_texts("labels", {**other.texts("labels"), **self.texts("labels")})
        self.set_texts("annotations", {**other.texts("annotations"), **self.texts("annotations")})
        self.rename(other.name)
        self.move(other.namespace)
        self.former, self.prefixes, self.suffixes = (
            list(other.former),
            list(other.prefixes),
            list(other.suffixes),
        )
        self.hashed = self.hashed and other.hashed
        self.behavior = other.behavior
        self.transformations = list(other.transformations)
        self.variables = list(other.variables)


class Items:
    """A collection of items in order, in which no two have the same identity."""

    def __init__(self, schemas: Schemas, items: Iterable[Item] = ()) -> None:
        self.schemas = schemas
        self.list: list[Item] = []
        self._ids: set[Id] | None = None
        self._any: dict[Id, list[Item]] | None = None
        self.extend(items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.list)

    def __len__(self) -> int:
        return len(self.list)

    def touched(self) -> None:
        """Forget what was known about identities: some may have changed."""
        self._ids = self._any = None

    def extend(self, items: Iterable[Item]) -> None:
        """Add items. Raises Mistaken where one has the identity of another."""
        schemas = self.schemas
        if self._ids is None:
            self._ids = {item.id(schemas) for item in self.list}
        self._any = None
        ids = self._ids
        for item in items:
            now = item.id(schemas)
            if now in ids:
                raise Mistaken(
                    Mistake(
                        f"may not add resource with an already registered id: {now}",
                        Where(item.file),
                        hint="two resources of a tree need different names, namespaces or kinds",
                    )
                )
            ids.add(now)
            self.list.append(item)

    def keep(self, items: list[Item]) -> None:
        """Hold these items and no others. Raises Mistaken where two have the same identity."""
        self.list = []
        self.touched()
        self.extend(items)

    def drop_deleted(self) -> None:
        """Remove what was deleted, or has nothing left."""
        if any(not item.data for item in self.list):
            self.list = [item for item in self.list if item.data]
            self.touched()

    def called(self, wanted: Id) -> list[Item]:
        """Return the items that have or had this identity, in order."""
        if self._any is None:
            found: dict[Id, list[Item]] = {}
            for item in self.list:
                if item.data:
                    for one in dict.fromkeys((*item.former_ids(), item.id(self.schemas))):
                        found.setdefault(one, []).append(item)
            self._any = found
        return [item for item in self._any.get(wanted, ()) if item.data]

    def one_called(self, wanted: Id, file: str) -> Item:
        """Return the only item that has or had this identity. Raises Mistaken."""
        found = self.called(wanted)
        if len(found) == 1:
            return found[0]
        said = "multiple matches" if found else "no matches"
        raise Mistaken(
            Mistake(
                f"{said} for Id {wanted}; failed to find unique target for patch {wanted}",
                Where(file),
                hint=""
                if found
                else "a patch names an object by apiVersion, kind, name and namespace, or has a target",
            )
        )
