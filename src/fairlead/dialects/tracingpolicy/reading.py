"""Reads TracingPolicy and TracingPolicyNamespaced documents (cilium.io/v1alpha1) into Policies. Never raises over their content.

What is not understood becomes a Finding with its JSON path. A selector with a part that is not understood is left out whole, and
its probe no longer acts: a filter that is missing would hit too many. Which hook serves which function is decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from fairlead.dialects.tracingpolicy import selecting
from fairlead.dialects.tracingpolicy.noting import Notes
from fairlead.dialects.tracingpolicy.policies import Argument, Policy, Probe, Section, Selector
from fairlead.words import Finding, Page, Ref, Where

GROUP: Final = "cilium.io"
KINDS: Final = ("TracingPolicy", "TracingPolicyNamespaced")
MOST_SELECTORS: Final = 5
"""Selectors of one probe in Tetragon itself; more are read, and a finding tells that the original refuses them."""

_NOWHERE: Final = Where()
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_SWITCHES: Final = {
    "disable-kprobe-multi": "how kprobes are attached is not chosen here",
    "disable-uprobe-multi": "how uprobes are attached is not chosen here",
    "uprobe-heap-size": "there is no such heap here",
    "sleepable-preload-size": "there is no such buffer here",
    "enable-usdt-set": "USDT arguments are never written here",
}
"""Options of Tetragon's that change how it works inside, and nothing of what it sees."""
_SECTIONS: Final[tuple[Section, ...]] = ("kprobes", "tracepoints", "uprobes", "usdts", "lsmhooks", "fentries")


def read(document: Any, where: Where = _NOWHERE) -> tuple[Policy | None, list[Finding]]:
    """Return the policy that the document holds, or None where it holds none, and what was not understood."""
    notes = Notes(Ref("", "", "", ""))
    if not isinstance(document, Mapping):
        notes.wrong(where, "a policy must be a mapping")
        return None, notes.findings
    ref = _named(document)
    notes = Notes(ref)
    page = Page(document, where)
    api, kind = page.take("apiVersion", ""), page.take("kind", "")
    if not isinstance(api, str) or api.rpartition("/")[0] != GROUP or kind not in KINDS:
        notes.wrong(where, f"{api} {kind} is no TracingPolicy")
        return None, notes.findings
    if api != f"{GROUP}/v1alpha1":
        notes.wrong(_at(where, ".apiVersion"), f"{api} is not served; {GROUP}/v1alpha1 is")
    page.take("metadata")
    page.take("status")
    if not ref.name:
        notes.wrong(_at(where, ".metadata.name"), "a policy must have a name")
    elif not _NAME.fullmatch(ref.name):
        notes.wrong(_at(where, ".metadata.name"), f"{ref.name!r} is no name of a Kubernetes object")
    policy = _spec(page.page("spec"), ref, notes)
    if kind == "TracingPolicyNamespaced":
        policy = replace(policy, namespace=ref.namespace or "default")
        if policy.workloads.hosts:
            notes.wrong(_at(where, ".spec.hostSelector"), "a namespaced policy cannot select hosts")
        policy = replace(policy, workloads=replace(policy.workloads, namespace=policy.namespace, hosts=False))
    for place in page.left():
        notes.unknown(place)
    return policy, notes.findings


def _named(document: Mapping[str, Any]) -> Ref:
    meta = document.get("metadata")
    meta = meta if isinstance(meta, Mapping) else {}
    texts = [
        one if isinstance(one, str) else ""
        for one in (meta.get("namespace"), meta.get("name"), meta.get("uid"))
    ]
    kind = document.get("kind")
    return Ref(GROUP, kind if isinstance(kind, str) else "", texts[0], texts[1], texts[2])


def _at(where: Where, suffix: str) -> Where:
    return Where(where.file, where.line, where.path + suffix)


def _spec(page: Page, ref: Ref, notes: Notes) -> Policy:
    options = _options(page, notes)
    lists = _lists(page, notes)
    macros = selecting.macros(page, notes)
    probes: list[Probe] = []
    for section in _SECTIONS:
        probes += [_probe(one, section, lists, macros, notes) for one in page.pages(section)]
    for one in page.pages("rawtracepoints"):
        probes.append(replace(_probe(one, "tracepoints", lists, macros, notes), raw=True))
    calls: list[str] = []
    for one in (
        *page.pages("enforcers"),
        *page.pages("killers"),
    ):  # killers: what enforcers were called before
        for call in (*one.texts("calls"), *one.texts("syscalls")):
            calls.extend(_calls(call, lists, _at(one.where, ".calls"), notes)[0])
    return Policy(
        ref=ref,
        where=page.where,
        probes=tuple(probes),
        monitor=options.get("policy-mode") in {"monitor", "monitor-only"},
        loader=notes.flag(page, "loader"),
        workloads=selecting.workloads(page, notes),
        enforced_calls=tuple(dict.fromkeys(calls)),
        options=tuple(options.items()),
    )


def _options(page: Page, notes: Notes) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in page.pages("options"):
        name, value = notes.text(one, "name"), str(one.take("value", ""))
        found[name] = value
        if name == "policy-mode":
            if value not in {"enforce", "monitor", "monitor-only"}:
                notes.wrong(_at(one.where, ".value"), f"{value!r} is no mode; there are enforce and monitor")
                found[name] = "monitor"
        elif name in _SWITCHES:
            notes.told(one.where, f"the option {name} changes nothing: {_SWITCHES[name]}")
        else:
            notes.wrong(_at(one.where, ".name"), f"there is no option {name!r}")
    return found


def _lists(page: Page, notes: Notes) -> dict[str, tuple[str, tuple[str, ...], str]]:
    """Return each list: its type, its values and its pattern."""
    found: dict[str, tuple[str, tuple[str, ...], str]] = {}
    for one in page.pages("lists"):
        name, sort, pattern = notes.text(one, "name"), notes.text(one, "type"), notes.text(one, "pattern")
        one.take("validated")
        values = tuple(one.texts("values"))
        if sort not in {"", "syscalls", "generated_syscalls", "generated_ftrace"}:
            notes.wrong(_at(one.where, ".type"), f"there is no type of lists {sort!r}")
            continue
        if not name or name in found:
            notes.wrong(_at(one.where, ".name"), "a list must have a name of its own")
            continue
        if sort.startswith("generated") and values:
            notes.wrong(_at(one.where, ".values"), "a generated list has no values")
        if sort == "generated_ftrace" and not pattern:
            notes.wrong(one.where, "a list of functions needs a pattern")
            continue
        if pattern and not selecting.pattern(pattern):
            notes.wrong(_at(one.where, ".pattern"), f"{pattern!r} is no regular expression")
            continue
        found[name] = (sort, values, pattern)
    return found


def _calls(
    call: str, lists: Mapping[str, tuple[str, tuple[str, ...], str]], where: Where, notes: Notes
) -> tuple[tuple[str, ...], str]:
    """Return what a call stands for, and the name of the list that it came from. A generated list stays a name: `generated:TYPE:PATTERN`."""
    if not call.startswith("list:"):
        return ((call,) if call else ()), ""
    name = call.removeprefix("list:")
    if name not in lists:
        notes.wrong(where, f"there is no list {name!r}")
        return (), name
    sort, values, pattern = lists[name]
    if sort.startswith("generated"):
        return (f"{sort}:{pattern}",), name
    return values, name


def _probe(page: Page, section: Section, lists: Any, macros: Mapping[str, Selector], notes: Notes) -> Probe:
    before = len(notes.faults)
    where = page.where
    calls: tuple[str, ...] = ()
    listed = binary = provider = ""
    offsets: tuple[int, ...] = ()
    syscall = raw = in_container = optional = False
    match section:
        case "kprobes" | "fentries":
            named = notes.text(page, "call")
            if not named:
                notes.wrong(where, "a call is missing")
            calls, listed = _calls(named, lists, _at(where, ".call"), notes)
            syscall = notes.flag(page, "syscall", named.startswith(("sys_", "list:")))
            optional = notes.flag(page.page("ignore"), "callNotFound")
        case "lsmhooks":
            hook = notes.text(page, "hook")
            if not hook:
                notes.wrong(where, "a hook is missing")
            calls = (hook.removeprefix("bpf_lsm_"),) if hook else ()
        case "tracepoints":
            subsystem, event = notes.text(page, "subsystem"), notes.text(page, "event")
            if not subsystem or not event:
                notes.wrong(where, "a tracepoint has a subsystem and an event")
            else:
                calls = (f"{subsystem}/{event}",)
            raw = notes.flag(page, "raw")
        case "uprobes":
            binary = notes.text(page, "path")
            calls = tuple(page.texts("symbols")) + tuple(filter(None, [notes.text(page, "symbol")]))
            offsets = notes.numbers(page, "offsets") + notes.numbers(page, "addrs")
            references = notes.numbers(page, "refCtrOffsets")
            if references:
                notes.lost(_at(where, ".refCtrOffsets"), "reference counters of uprobes are not raised")
            in_container = notes.flag(page, "resolvePathInContainer")
            if page.take("binaryDigests"):
                notes.lost(_at(where, ".binaryDigests"), "the binary is not compared with a digest")
            if not binary or not (calls or offsets):
                notes.wrong(where, "a uprobe has a path, and symbols, offsets or addresses")
        case "usdts":
            binary, provider, name = (notes.text(page, key) for key in ("path", "provider", "name"))
            calls = (name,) if name else ()
            in_container = notes.flag(page, "resolvePathInContainer")
            if not (binary and provider and name):
                notes.wrong(where, "a USDT has a path, a provider and a name")
    args = tuple(_argument(one, notes) for one in page.pages("args"))
    data = tuple(_argument(one, notes) for one in page.pages("data"))
    returned = None
    if "returnArg" in page.keys():  # noqa: SIM118 - a Page is no mapping
        returned = _argument(page.page("returnArg"), notes)
    returns = notes.flag(page, "return")
    action = notes.text(page, "returnArgAction")
    if action and action not in {"Post", "TrackSock", "UntrackSock"}:
        notes.wrong(_at(where, ".returnArgAction"), f"there is no action {action!r} for a returned value")
    if returns and returned is None and section in {"kprobes", "fentries"}:
        notes.told(
            where, "the returned value is asked for, and no returnArg says what it is: it is told as a number"
        )
        returned = Argument(type="int", path=f"{where.path}.returnArg")
    message = notes.text(page, "message")
    if len(message) > 256:
        notes.wrong(_at(where, ".message"), "a message has at most 256 characters; the rest is cut")
    tags = tuple(page.texts("tags"))
    if len(tags) > 16:
        notes.wrong(_at(where, ".tags"), "there are at most 16 tags; the rest is left out")
    pages = page.pages("selectors")
    if len(pages) > MOST_SELECTORS:
        notes.told(
            _at(where, ".selectors"), f"Tetragon takes at most {MOST_SELECTORS} selectors; all are used here"
        )
    selectors = [
        selecting.selector(one, macros, args, data, returned, lists, notes, loose=section == "tracepoints")
        for one in pages
    ]
    broken = len(notes.faults) > before
    if pages and not any(one is not None for one in selectors):
        calls = ()  # nothing is left that could match
    return Probe(
        section=section,
        path=where.path,
        calls=calls,
        syscall=syscall,
        returns=returns,
        raw=raw,
        args=args,
        data=data,
        return_arg=returned,
        return_action=action,
        selectors=tuple(one for one in selectors if one is not None),
        message=message[:256],
        tags=tags[:16],
        binary=binary,
        provider=provider,
        offsets=offsets,
        in_container=in_container,
        optional=optional,
        broken=broken,
        listed=listed,
    )


def _argument(page: Page, notes: Notes) -> Argument:
    kind = notes.text(page, "type") or "auto"
    extracted = notes.text(page, "extractParam")  # its name before it was called `resolve`
    resolve = notes.text(page, "resolve") or extracted
    overwritten = notes.text(page, "overwriteType")
    module = notes.text(page, "btfTypeModule")
    argument = Argument(
        index=notes.number(page, "index"),
        type=overwritten or kind,
        label=notes.text(page, "label"),
        size_from=notes.number(page, "sizeArgIndex"),
        size=notes.number(page, "size"),
        return_copy=notes.flag(page, "returnCopy"),
        max_data=notes.flag(page, "maxData"),
        resolve=resolve,
        source=notes.text(page, "source"),
        btf_type=notes.text(page, "btfType"),
        path=page.where.path,
    )
    selecting.check_argument(argument, page.where, notes)
    if module:
        notes.lost(_at(page.where, ".btfTypeModule"), "types of modules are not known")
    return argument


def documents(texts: Sequence[Any]) -> list[Mapping[str, Any]]:
    """Return the policies among parsed YAML documents, those in a List included; what is of another kind is left out."""
    found: list[Mapping[str, Any]] = []
    for one in texts:
        if not isinstance(one, Mapping):
            continue
        items = one.get("items")
        if one.get("kind") in {"List", "TracingPolicyList", "TracingPolicyNamespacedList"} and isinstance(
            items, list
        ):
            found.extend(documents(items))
        elif one.get("kind") in KINDS:
            found.append(one)
    return found
