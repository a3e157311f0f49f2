"""The expressions in Tracee's YAML detectors: CEL over an event, its data and its workload, or a plain path such as `data.pathname`.

Compiled once; whatever goes wrong while one is evaluated is "no", as in Tracee. What would need a store of the whole machine's processes,
symbols or names is refused when it is compiled, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fairlead.sense.events import Container, Event, Process
from fairlead.tongues import cel
from fairlead.tongues.cel import strings
from fairlead.tongues.cel.lexing import Fault
from fairlead.tongues.cel.macros import Key, Macro
from fairlead.tongues.cel.syntax import Call, Ident, Node

BUDGET = 1_000_000
_PATH = re.compile(r"(?:data|workload|timestamp|name)(?:\.[A-Za-z_][A-Za-z0-9_]*)*\Z")
_UNSIGNED = ("unsigned", "u8", "u16", "u32", "u64", "size_t", "mode_t", "umode_t", "dev_t", "uid_t", "gid_t")
_ABSENT = object()


class BadCondition(ValueError):
    """An expression cannot be compiled. Its text says why."""


class Happening:
    """What an expression sees: an event by its Tracee name, with its data."""

    __slots__ = ("data", "event", "name")

    def __init__(self, name: str, event: Event, data: Mapping[str, Any]) -> None:
        self.name = name
        self.event = event
        self.data = data


def _value(value: Any, kind: str = "") -> Any:
    """Return a value as CEL has it."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return cel.Uint(value) if kind.startswith(_UNSIGNED) or kind.endswith("*") else value
    if isinstance(value, Mapping):
        return {key: _value(one) for key, one in value.items()}
    return [_value(one) for one in value] if isinstance(value, list | tuple) else value


def _message(name: str, fields: Mapping[str, Any], /, **known: Any) -> cel.Message:
    return cel.Message(
        f"tracee.v1beta1.{name}", {key: one for key, one in fields.items() if one is not None}, known
    )


def _id_of(process: Process) -> int:
    """A number that stands for the process as long as it runs: 32 bits of its start and pid."""
    mixed = (process.start * 0x9E3779B97F4A7C15 + process.pid * 0xC2B2AE3D27D4EB4F) & 0xFFFFFFFFFFFFFFFF
    return (mixed >> 32) ^ (mixed & 0xFFFFFFFF)


entity = _id_of


def _process(event: Event) -> cel.Message:
    process = event.process
    thread = _message(
        "Thread",
        {
            "name": event.comm, "tid": cel.Uint(event.tid), "host_tid": cel.Uint(event.tid), "syscall": event.kind,
            "unique_id": cel.Uint(_id_of(process)), "start_time": cel.Timestamp(process.started),
        },
        compat=False,
    )  # fmt: skip
    return _message(
        "Process",
        {
            "executable": _message("Executable", {"path": process.exe}), "unique_id": cel.Uint(_id_of(process)),
            "entity_id": cel.Uint(_id_of(process)), "pid": cel.Uint(process.vpid), "host_pid": cel.Uint(event.pid),
            "real_user": _message("User", {"id": cel.Uint(process.uid if process.known else event.uid)}, name=""), "thread": thread,
            "ancestors": [_told(one) for one in process.ancestors()],
        },
    )  # fmt: skip


def _told(process: Process) -> dict[str, Any]:
    return {
        "entity_id": cel.Uint(_id_of(process)), "pid": cel.Uint(process.pid), "ppid": cel.Uint(process.ppid), "name": process.name,
        "exe": process.exe, "start_time": process.started // 10**9, "uid": cel.Uint(process.uid), "gid": cel.Uint(process.gid),
    }  # fmt: skip


def _container(one: Container | None) -> cel.Message:
    image = _message("ContainerImage", {}, id="", name="", repo_digests=[])
    known = {"id": "", "name": "", "image": image, "started": False}
    if one is None:
        return _message("Container", {}, **known)
    picture = _message(
        "ContainerImage",
        {"id": one.image_id, "name": one.image, "repo_digests": [one.digest] if one.digest else []},
    )
    return _message(
        "Container", {"id": one.id, "name": one.name, "image": picture, "started": one.started > 0}, **known
    )


def _cluster(one: Container | None) -> dict[str, cel.Message]:
    pod = {"name": one.pod, "uid": one.pod_uid, "labels": dict(one.pod_labels)} if one and one.pod else {}
    space = {"name": one.pod_namespace} if one and one.pod else {}
    flat = {"pod_name": one.pod, "pod_namespace": one.pod_namespace, "pod_uid": one.pod_uid} if one else {}
    return {
        "k8s": _message(
            "K8s", {"pod": _message("Pod", pod, name="", uid="", labels={}), "namespace": _message("K8sNamespace", space, name="")}
        ),
        "kubernetes": _message("K8s", flat, pod_name="", pod_namespace="", pod_uid=""),
    }  # fmt: skip


def _workload(event: Event) -> cel.Message:
    container = event.process.container
    return _message(
        "Workload",
        {
            "process": _process(event),
            **({"container": _container(container)} if container else {}),
            **(_cluster(container) if container and container.pod else {}),
        },
        container=_container(None),
        **_cluster(None),
    )


def bindings(
    name: str, event: Event, told: Sequence[tuple[str, str, Any]], lists: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what expressions see of an event; `told` are its data with types."""
    data = {key: _value(value, kind) for key, kind, value in told if value is not None}
    work = cel.Lazy(lambda: _workload(event))
    whole = cel.Lazy(
        lambda: _message(
            "Event",
            {"name": name, "timestamp": cel.Timestamp(event.time), "workload": work(), "data": data, "@": Happening(name, event, data)},
        )
    )  # fmt: skip
    return {
        "event": whole, "workload": work, "timestamp": cel.Timestamp(event.time), "data": data, "name": name, **lists,
    }  # fmt: skip


# ---- what may be called ---------------------------------------------------------------------------------------------


def _data_of(event: Any, name: str) -> Any:
    return event.fields["data"].get(name) if isinstance(event, cel.Message) else None


def _has_data(event: Any, name: str) -> bool:
    return isinstance(event, cel.Message) and name in event.fields["data"]


def _base(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2] or ("/" if path else ".")


def _directory(path: str) -> str:
    head, slash, _ = path.rpartition("/")
    return head or ("/" if slash else ".")


def _family(event: Any) -> list[Process]:
    happening: Happening = event.fields["@"]
    return [happening.event.process, *happening.event.process.ancestors()]


def _get_process(event: Any, key: Any) -> Any:
    return next((_told(one) for one in _family(event) if _id_of(one) == key), None)


def _ancestry(event: Any, key: Any, depth: int) -> list[Any]:
    family = _family(event)
    at = next((at for at, one in enumerate(family) if _id_of(one) == key), None)
    return [] if at is None else [_told(one) for one in family[at : at + 1 + depth]]


def _get_container(event: Any, key: str) -> Any:
    return _container_told(event, lambda one: one.id == key)


def _container_named(event: Any, key: str) -> Any:
    return _container_told(event, lambda one: one.name == key)


def _container_told(event: Any, wanted: Callable[[Container], bool]) -> Any:
    happening: Happening = event.fields["@"]
    one = happening.event.process.container
    if one is None or not wanted(one):
        return None
    pod = {"name": one.pod, "uid": one.pod_uid, "namespace": one.pod_namespace, "sandbox": one.sandbox}
    return {
        "id": one.id, "name": one.name, "image": one.image, "image_digest": one.digest, "runtime": one.runtime,
        "start_time": one.started // 10**9, "pod": pod if one.pod else None,
    }  # fmt: skip


def _with_event(pos: int, target: Node | None, args: list[Node], name: str) -> Node | None:
    return Call(pos, name, None, [Ident(pos, "event"), *args]) if target is None else None


def _plain(name: str) -> Macro:
    return lambda pos, target, args: _with_event(pos, target, args, name)


def _of_store(store: str, name: str) -> Macro:
    def expand(pos: int, target: Node | None, args: list[Node]) -> Node | None:
        if not isinstance(target, Ident) or target.name != store:
            return None
        return Call(pos, f"{store}.{name}", None, [Ident(pos, "event"), *args])

    return expand


def _of_stores(names: Mapping[str, Macro]) -> Macro:
    """`get` is called on several stores: the first that takes the call has it."""

    def expand(pos: int, target: Node | None, args: list[Node]) -> Node | None:
        macro = names.get(target.name) if isinstance(target, Ident) else None
        return macro(pos, target, args) if macro else None

    return expand


def _absent(store: str, why: str) -> Macro:
    def expand(pos: int, target: Node | None, _: list[Node]) -> Node | None:
        if isinstance(target, Ident) and target.name == store:
            raise Fault(f"{store} is not known here: {why}", pos)
        return None

    return expand


_NO_SYMBOLS = "the kernel's symbols are not read"
_MACROS: Mapping[Key, Macro] = {
    ("getData", 1, False): _plain("getData"),
    ("hasData", 1, False): _plain("hasData"),
    ("get", 1, True): _of_stores({"process": _of_store("process", "get"), "container": _of_store("container", "get")}),
    ("getAncestry", 2, True): _of_store("process", "getAncestry"),
    ("getByName", 1, True): _of_store("container", "getByName"),
    ("getChildren", 1, True): _absent("process", "a process' children are not kept"),
    ("info", 0, True): _absent("system", "a rule knows nothing of the machine it runs on"),
    ("resolveSymbol", 1, True): _absent("kernel", _NO_SYMBOLS),
    ("getSymbolAddress", 1, True): _absent("kernel", _NO_SYMBOLS),
    ("getResponse", 1, True): _absent("dns", "answers to questions for names are not looked at"),
}  # fmt: skip


def _syscall_name(number: int) -> str:
    from fairlead.sense.syscalls import NAMES

    return NAMES["x86_64"].get(number, "")


def _syscall_id(name: str) -> int:
    from fairlead.sense.syscalls import number_of

    found = number_of(name)
    return -1 if found is None else found


LIBRARY = cel.Library(
    "tracee",
    functions={
        "getData(dyn, string) dyn": _data_of,
        "hasData(dyn, string) bool": _has_data,
        "split(string, string) list(string)": lambda text, by: text.split(by) if by else list(text),
        "join(list(string), string) string": lambda parts, by: by.join(parts),
        "trim(string) string": str.strip,
        "replace(string, string, string) string": lambda text, old, new: text.replace(old, new),
        "upper(string) string": str.upper,
        "lower(string) string": str.lower,
        "basename(string) string": _base,
        "dirname(string) string": _directory,
        "process.get(dyn, dyn) dyn": _get_process,
        "process.getAncestry(dyn, dyn, int) list(dyn)": _ancestry,
        "container.get(dyn, string) dyn": _get_container,
        "container.getByName(dyn, string) dyn": _container_named,
        "syscall.getName(int) string": _syscall_name,
        "syscall.getId(string) int": _syscall_id,
    },
    macros=_MACROS,
)  # fmt: skip


def compile_expression(
    text: str, lists: Mapping[str, Sequence[str]], *, condition: bool
) -> Callable[[Mapping[str, Any]], Any]:
    """Return a function of `bindings`. It returns None where the value is absent or anything fails. Raises BadCondition."""
    if not condition and _PATH.match(text):
        return _by_path(text)
    variables = {
        "event": "dyn",
        "workload": "dyn",
        "timestamp": "timestamp",
        "data": "map(string, dyn)",
        "name": "string",
    }
    environment = cel.Environment(
        {**variables, **dict.fromkeys(lists, "list(string)")}, (LIBRARY, strings.LIBRARY)
    )
    try:
        program = environment.compile(text)
    except cel.BadExpression as error:
        raise BadCondition(str(error)) from None
    if condition and program.type.name not in {"bool", "dyn"}:
        raise BadCondition(f"condition must return boolean, got {program.type.name}")

    def evaluate(given: Mapping[str, Any]) -> Any:
        try:
            value = program(given, BUDGET)
        except (cel.Failed, cel.TooCostly):
            return None
        return cel.to_json(value) if isinstance(value, cel.Timestamp) else value

    return evaluate


def _by_path(text: str) -> Callable[[Mapping[str, Any]], Any]:
    steps = text.removesuffix(".value").split(".")

    def find(given: Mapping[str, Any]) -> Any:
        if steps == ["timestamp"]:
            return cel.Uint(given["timestamp"].ns)
        here: Any = given[steps[0]]
        here = here() if isinstance(here, cel.Lazy) else here
        for step in steps[1:]:
            try:
                here = here[step]
            except (KeyError, TypeError, cel.Failed):
                return None
        return here if here != "" else None

    return find
