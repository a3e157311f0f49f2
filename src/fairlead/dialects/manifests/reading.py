"""Kubernetes manifests: YAML or JSON text in, objects with the line of each of their fields out.

Text is hostile until it was read: nesting, size and the expansion of aliases are limited, and whatever cannot be read becomes a
Finding with file, line and column while the documents around it are still read. Documents are separated as kubectl does, by lines
that start with `---`; scalars mean what they mean to kubectl (YAML 1.1, but timestamps and sexagesimal numbers stay text).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import yaml

from fairlead.tongues.paths import written
from fairlead.tongues.yamls import DEEPEST, LARGEST, scalar
from fairlead.words import Evidence, Finding, Ref, Resource, Severity, Where

LONGEST = 64 * 1024 * 1024
"""Characters of text that are read from one file."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SEPARATOR = re.compile(r"^---(?:[ \t].*)?$", re.MULTILINE)
_TEMPLATE = re.compile(r"\{\{[-\s]*[^}]*\}\}")
_STRING_TAGS = {"tag:yaml.org,2002:str", "!"}
_CORE_TAGS = {
    f"tag:yaml.org,2002:{name}"
    for name in ("map", "seq", "null", "bool", "int", "float", "binary", "timestamp")
}


@dataclass(frozen=True, slots=True)
class Document:
    """What one document, or one item of a list, says: its content, and where each path in it was written."""

    content: Any
    file: str
    line: int
    lines: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)

    @property
    def ref(self) -> Ref:
        """The name of the object (only where `content` is one)."""
        return Ref.of(self.content)

    def where(self, path: str) -> Where:
        """Return the place of a path, or of the nearest path above it that is written here."""
        at = path
        while at and at not in self.lines:
            at = at[: max(at.rfind("."), at.rfind("["), 0)]
        return Where(self.file, self.lines.get(at, self.line), path)


class _Unreadable(Exception):
    """A document that is left out, with why and where (1-based line and column of the chunk)."""

    def __init__(self, rule: str, message: str, line: int, column: int = 0) -> None:
        super().__init__(message)
        self.rule, self.message, self.line, self.column = rule, message, line, column


def about_file(
    rule: str, severity: Severity, file: str, message: str, *, line: int = 0, cause: str = "", path: str = ""
) -> Finding:
    """Return a Finding about a file rather than an object."""
    return Finding(
        rule=rule,
        severity=severity,
        subject=Ref("", "File", "", file),
        message=message,
        cause=cause,
        where=Where(file, line, path),
    )


@dataclass(slots=True)
class _Frame:
    """An open mapping or list: what it holds so far, its path as it is written, and the key that waits for its value."""

    content: Any
    path: str
    anchor: str | None
    size: int = 1
    key: Any = None
    merges: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def is_list(self) -> bool:
        return isinstance(self.content, list)


_NO_KEY = object()


class _Reader:
    """Builds one document from the parser's events, without recursion."""

    def __init__(self) -> None:
        self.root: Any = None
        self.lines: dict[str, int] = {}
        self.doubled: list[tuple[str, int]] = []
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, int]] = {}

    def feed(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.ScalarEvent):
            self._put(self._scalar(event, line), 1, event.anchor, line)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event, line)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._open(event, line)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._close(line)

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> Any:
        tag = event.tag
        if tag is None:
            return scalar(event.value) if event.implicit[0] else event.value
        if tag in _STRING_TAGS:
            return event.value
        if tag in _CORE_TAGS:
            return scalar(event.value)
        raise _Unreadable("document.broken", f"the tag {tag} means nothing to Kubernetes", line)

    def _alias(self, event: yaml.AliasEvent, line: int) -> None:
        known = self._anchors.get(event.anchor or "")
        if known is None:
            inside = any(frame.anchor == event.anchor for frame in self._stack)
            why = "refers to what contains it" if inside else "is not defined"
            raise _Unreadable("document.broken", f"the alias *{event.anchor} {why}", line)
        self._put(known[0], known[1], None, line)

    def _open(self, event: Any, line: int) -> None:
        if len(self._stack) >= DEEPEST:
            raise _Unreadable("document.unsafe", f"nests deeper than {DEEPEST} levels", line)
        if self._stack and not self._stack[-1].is_list and self._stack[-1].key is _NO_KEY:
            raise _Unreadable("document.broken", "a mapping or list cannot be a key", line)
        if event.tag is not None and event.tag not in _CORE_TAGS:
            raise _Unreadable("document.broken", f"the tag {event.tag} means nothing to Kubernetes", line)
        content: Any = [] if isinstance(event, yaml.SequenceStartEvent) else {}
        path = self._here()
        self.lines.setdefault(path, line)
        frame = _Frame(content, path, event.anchor, key=_NO_KEY)
        self._stack.append(frame)

    def _close(self, line: int) -> None:
        frame = self._stack.pop()
        for merged in frame.merges:
            for key, value in merged.items():
                frame.content.setdefault(key, value)
        self._put(frame.content, frame.size, frame.anchor, line, opened=True)

    def _here(self) -> str:
        if not self._stack:
            return ""
        top = self._stack[-1]
        return f"{top.path}[{len(top.content)}]" if top.is_list else top.path + _key_step(str(top.key))

    def _put(self, value: Any, size: int, anchor: str | None, line: int, *, opened: bool = False) -> None:
        if anchor is not None:
            self._anchors[anchor] = (value, size)
        if not self._stack:
            self.root = value
            return
        top = self._stack[-1]
        top.size += size
        if top.size > LARGEST:
            raise _Unreadable(
                "document.unsafe", f"has more than {LARGEST:,} values, its aliases expanded", line
            )
        if top.is_list:
            if not opened:
                self.lines.setdefault(self._here(), line)
            top.content.append(value)
        elif top.key is _NO_KEY:
            top.key = _key(value, line)
            self.lines.setdefault(top.path + _key_step(top.key), line)
        else:
            self._pair(top, value, line)

    def _pair(self, top: _Frame, value: Any, line: int) -> None:
        key, top.key = top.key, _NO_KEY
        if key == "<<":
            merged = value if isinstance(value, list) else [value]
            if not all(isinstance(one, dict) for one in merged):
                raise _Unreadable("document.broken", "only mappings can be merged with <<", line)
            top.merges.extend(merged)
            return
        if key in top.content:
            self.doubled.append((top.path + _key_step(key), line))
        top.content[key] = value


_key_step = lru_cache(maxsize=1024)(written)
"""A key behind a path: most keys of a text are those of its other objects."""


def _key(value: Any, line: int) -> str:
    """Return a key as JSON would have it."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, (dict, list)):
        raise _Unreadable("document.broken", "a key must be text", line)
    return json.dumps(value)


def _chunks(text: str) -> Iterator[tuple[int, str]]:
    """Split text at its document separators; yields the 0-based line that each part starts at."""
    start, line = 0, 0
    for match in _SEPARATOR.finditer(text):
        part = text[start : match.start()]
        yield line, part
        line += part.count("\n") + 1
        start = match.end() + 1
        tail = match.group()[3:].strip()
        if tail and not tail.startswith("#"):  # content may follow on the separator's own line
            line -= 1
            start = match.start() + 3
    if start <= len(text):
        yield line, text[start:]


def parse(file: str, text: str) -> tuple[list[Document], list[Finding]]:
    """Return the documents of a YAML or JSON text, whatever they are, and what could not be read.

    Empty documents are left out. Never raises over the text.
    """
    if len(text) > LONGEST:
        message = f"is longer than {LONGEST // 2**20} MiB and is not read"
        return [], [about_file("document.unsafe", Severity.WARNING, file, message)]
    documents: list[Document] = []
    findings: list[Finding] = []
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    for offset, chunk in _chunks(text):
        if not chunk.strip():
            continue
        try:
            for document, doubled in _compose(file, chunk, offset):
                documents.append(document)
                findings += [_doubled(file, path, line) for path, line in doubled]
        except _Unreadable as error:
            if "{{" in chunk and error.rule == "document.broken" and _TEMPLATE.search(chunk):
                message = "is a template that must be rendered first: name the folder with its Chart.yaml"
                findings.append(
                    about_file("document.template", Severity.INFO, file, message, line=offset + 1)
                )
                continue
            line = offset + error.line
            column = f", column {error.column}" if error.column else ""
            message = f"cannot be read at line {line}{column}: {error.message}"
            severity = Severity.CRITICAL if error.rule == "document.broken" else Severity.WARNING
            findings.append(about_file(error.rule, severity, file, message, line=line))
    return documents, findings


def _doubled(file: str, path: str, line: int) -> Finding:
    message = f"says {path} twice; the first is lost"
    return about_file("document.doubled", Severity.WARNING, file, message, line=line, path=path)


def _compose(file: str, chunk: str, offset: int) -> Iterator[tuple[Document, list[tuple[str, int]]]]:
    reader = _Reader()
    try:
        for event in yaml.parse(chunk, Loader=_LOADER):
            if isinstance(event, yaml.DocumentStartEvent):
                reader = _Reader()
            elif isinstance(event, yaml.DocumentEndEvent):
                if reader.root is not None:
                    lines = {path: line + offset for path, line in reader.lines.items()}
                    first = lines.get("", offset + 1)
                    doubled = [(path, line + offset) for path, line in reader.doubled]
                    yield Document(reader.root, file, first, lines), doubled
            else:
                reader.feed(event)
    except yaml.MarkedYAMLError as error:
        plain = _json(chunk)
        if plain is not None:
            yield Document(plain, file, offset + 1), []
            return
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.problem, error.context) if part)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 0)
        last = chunk.rstrip().count("\n") + 1
        if line > last:  # the text ended too early: point at its end
            line, column = last, len(chunk.rstrip().rpartition("\n")[2]) + 1
        raise _Unreadable("document.broken", said or "not YAML", line, column) from error
    except yaml.YAMLError as error:
        before = chunk[: getattr(error, "position", 0) or 0]
        said = str(getattr(error, "reason", "")) or "not text"
        raise _Unreadable("document.broken", said, before.count("\n") + 1) from error


def _json(chunk: str) -> Any:
    """Return the chunk read as JSON, which may have tabs where YAML may not; None if it is none."""
    if chunk.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        return json.loads(chunk)
    except (ValueError, RecursionError):
        return None


def _items(document: Document) -> Iterator[Document]:
    """Yield the items of a list document as documents of their own."""
    places: dict[str, dict[str, int]] = {}
    for path, line in document.lines.items():
        if path.startswith(_ITEMS):
            number, _, rest = path.removeprefix(_ITEMS).partition("]")
            places.setdefault(number, {})[rest] = line
    for index, content in enumerate(document.content["items"]):
        yield _item(document, content, places.get(str(index), {}))


_ITEMS = ".items["


def _item(document: Document, content: Any, lines: Mapping[str, int]) -> Document:
    if isinstance(content, dict) and document.content.get("kind") != "List":
        defaults = {"apiVersion": document.content.get("apiVersion"), "kind": document.content["kind"][:-4]}
        content = {**defaults, **content}
    return Document(content, document.file, lines.get("", document.line), lines)


def _objects(document: Document) -> Iterator[Document | Finding]:
    """Yield the objects in a document, lists unfolded, and what is not one."""
    content = document.content
    if not isinstance(content, dict) or not ({"apiVersion", "kind"} & content.keys()):
        yield about_file(
            "document.foreign",
            Severity.INFO,
            document.file,
            "has a document that is no Kubernetes object, and is passed over",
            line=document.line,
        )
        return
    version, kind = content.get("apiVersion"), content.get("kind")
    if isinstance(version, str) and kind is None and {"name", "version"} <= content.keys():
        yield about_file(
            "document.foreign", Severity.INFO, document.file, "describes a Helm chart, and is passed over"
        )
        return
    lacking = [
        name
        for name, value in (("apiVersion", version), ("kind", kind))
        if not isinstance(value, str) or not value
    ]
    if lacking:
        yield about_file(
            "document.incomplete",
            Severity.CRITICAL,
            document.file,
            f"has an object without {' and '.join(lacking)} at line {document.line}",
            line=document.line,
        )
        return
    items = content.get("items")
    if (
        str(kind).endswith("List")
        and isinstance(items, list)
        and not (content.get("metadata") or {}).get("name")
    ):
        for item in _items(document):
            yield from _objects(item)
        return
    yield from _named(document)


def _named(document: Document) -> Iterator[Document | Finding]:
    meta = document.content.get("metadata")
    if isinstance(meta, dict) and (meta.get("name") or meta.get("generateName")):
        for part in ("labels", "annotations"):  # written without a value, they are absent
            if part in meta and meta[part] is None:
                del meta[part]
        yield document
        return
    if document.content["kind"] == "Kustomization":
        yield document
        return
    yield about_file(
        "document.incomplete",
        Severity.CRITICAL,
        document.file,
        f"has a {document.content['kind']} without a name at line {document.line}",
        line=document.line,
        path=".metadata.name",
    )


def read(file: str, text: str) -> tuple[list[Document], list[Finding]]:
    """Return the objects of a file, lists unfolded, and a Finding for whatever is none."""
    documents, findings = parse(file, text)
    objects: list[Document] = []
    for document in documents:
        for one in _objects(document):
            if isinstance(one, Finding):
                findings.append(one)
            else:
                objects.append(one)
    return objects, _once(findings)


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings with templates and foreign documents told once for a file."""
    told: dict[tuple[str, str], Finding] = {}
    rest = []
    for finding in findings:
        if finding.rule in {"document.template", "document.foreign"}:
            told.setdefault((finding.rule, finding.subject.name), finding)
        else:
            rest.append(finding)
    return rest + list(told.values())


def doubles(documents: Iterable[Document]) -> list[Finding]:
    """Return a Finding for each object that is written more than once.

    In one folder that is hardly meant; folders may well be alternatives of each other, so there it is only noted.
    """
    written: dict[Ref, list[Document]] = {}
    for document in documents:
        if (document.content.get("metadata") or {}).get("name"):
            written.setdefault(document.ref, []).append(document)
    return [_doubled_object(ref, them) for ref, them in written.items() if len(them) > 1]


def _doubled_object(ref: Ref, them: list[Document]) -> Finding:
    same = all(one.content == them[0].content for one in them)
    folders = {one.file.rpartition("/")[0] for one in them}
    times = "twice" if len(them) == 2 else f"{len(them)} times"
    return Finding(
        rule="object.doubled",
        severity=Severity.INFO if same or len(folders) == len(them) else Severity.WARNING,
        subject=ref,
        message=f"is written {times}" + ("" if same else ", each time otherwise"),
        cause="" if same else "Applied together, the last one wins.",
        evidence=tuple(Evidence("field", ref, "written here", Where(one.file, one.line)) for one in them[:6]),
        where=Where(them[-1].file, them[-1].line),
    )


def write(resource: Resource) -> str:
    """Return the object as a YAML document, its parts in the order in which people write them."""
    first = ("apiVersion", "kind", "metadata", "type", "spec", "data")
    ordered = {key: resource[key] for key in first if key in resource} | resource
    return yaml.dump(ordered, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    """Writes lists indented, long texts as blocks, and never an alias."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 -- yaml's own signature
        return True


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    style = "|" if "\n" in data else None
    if not isinstance(scalar(data), str):  # a reader of YAML 1.1 would take it for a number or a truth value
        style = "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _text)

READS: Mapping[str, Callable[[str, str], tuple[list[Document], list[Finding]]]] = {
    ".json": read,
    ".yaml": read,
    ".yml": read,
}
"""What reads a file, by the end of its name: any kind of object may be in it."""

WRITES: Mapping[type, Callable[[Resource], str]] = {dict: write}
