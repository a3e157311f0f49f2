"""Reads selectors, macros, actions and workload selectors of TracingPolicies. Never raises over their content.

A selector with a part that is wrong is given up whole (None), since a filter that is missing would hit too many.
Source: Tetragon's selectors documentation and pkg/selectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from fairlead.dialects.tracingpolicy import argtypes, operators, resolving
from fairlead.dialects.tracingpolicy.capabilities import CAPABILITIES
from fairlead.dialects.tracingpolicy.noting import Notes
from fairlead.dialects.tracingpolicy.policies import (
    Action,
    Argument,
    ArgumentFilter,
    BinaryFilter,
    CapabilityFilter,
    ChangeFilter,
    CredentialFilter,
    NamespaceFilter,
    PidFilter,
    Scope,
    Selector,
    WorkloadFilter,
)
from fairlead.sense import records
from fairlead.tongues import regexes, selectors
from fairlead.words import Page, Where

NAMESPACES: Final = tuple(name.replace("_", "") for name in records.NAMESPACES)
"""Sorts of namespaces, in the order of Process.ns."""
SETS: Final = ("effective", "permitted", "inheritable")
"""Sets of capabilities, in the order of Process.caps."""
_OLD_ACTIONS: Final = {"notifykiller": "NotifyEnforcer"}
"""Actions by the names that they had before."""
ACTIONS: Final = {
    name.lower(): name
    for name in (
        "Post", "NoPost", "Sigkill", "Signal", "Override", "NotifyEnforcer", "CleanupEnforcerNotification", "FollowFD", "UnfollowFD",
        "CopyFD", "GetUrl", "DnsLookup", "TrackSock", "UntrackSock", "Set",
    )
}  # fmt: skip
_BINARIES: Final = {"In", "NotIn", "Prefix", "NotPrefix", "Postfix", "NotPostfix"}
_SCOPES: Final[Mapping[str, Scope]] = {
    "": "thread",
    "thread": "thread",
    "process": "process",
    "global": "global",
}
_UNITS: Final = {"s": 1, "m": 60, "h": 3600}
_MOST_ACTIONS = 3
Lists = Mapping[str, tuple[str, tuple[str, ...], str]]


def pattern(text: str) -> bool:
    """Whether this is a regular expression that can be used."""
    try:
        regexes.compile(text)
    except ValueError:
        return False
    return True


def _at(page: Page, key: str) -> Where:
    return Where(page.where.file, page.where.line, f"{page.where.path}.{key}")


def check_argument(argument: Argument, where: Where, notes: Notes) -> None:
    """Note what is wrong with an argument's description, or what of it cannot be had here."""
    kind = argtypes.named(argument.type)
    if kind is None:
        notes.wrong(where, f"there is no type {argument.type!r}")
        return
    if kind.form == "unreadable":
        notes.lost(where, f"arguments of type {argument.type} are left empty: {kind.why}")
    if (argument.resolve or argument.source) and not resolving.known(argument):
        notes.lost(
            where,
            f"{argument.resolve or argument.source} is not resolved: kernel structures are not walked by path; the argument is left empty",
        )
    if argument.source and argument.source not in {"current_task", "pt_regs"}:
        notes.wrong(where, f"there is no source {argument.source!r}")
    if argument.max_data:
        notes.told(where, "at most 4096 bytes of a buffer are read")
    if argument.type == "const_buf" and not argument.size:
        notes.wrong(where, "a const_buf has a size")


def macros(page: Page, notes: Notes) -> dict[str, Selector]:
    """Return the selectors that the spec names; they cannot name others."""
    found: dict[str, Selector] = {}
    shelf = page.page("selectorsMacros")
    for name in shelf.keys():  # noqa: SIM118 - a Page is no mapping
        one = selector(shelf.page(str(name)), {}, None, None, None, {}, notes)
        if one is not None:
            found[str(name)] = one
    return found


def selector(
    page: Page,
    named: Mapping[str, Selector],
    args: Sequence[Argument] | None,
    data: Sequence[Argument] | None,
    returned: Argument | None,
    lists: Lists,
    notes: Notes,
    *,
    loose: bool = False,
) -> Selector | None:
    """Return what a selector says, its macros put in their place, or None where a part of it is wrong.

    `args`, `data` and `returned` describe the probe's arguments; None in a macro, where they are not known yet.
    With `loose` an index that no argument has counts as its place in the list, as tracepoints are often written.
    """
    before = len(notes.faults)
    label = notes.text(page, "label")
    if label:
        notes.told(_at(page, "label"), "labels of selectors are not told in events")
    found = Selector(
        args=_arguments(page, "matchArgs", lists, notes),
        data=_arguments(page, "matchData", lists, notes),
        returns=_arguments(page, "matchReturnArgs", lists, notes),
        pids=tuple(_pid(one, notes) for one in page.pages("matchPIDs")),
        binaries=tuple(_binary(one, notes) for one in page.pages("matchBinaries")),
        parents=tuple(_binary(one, notes) for one in page.pages("matchParentBinaries")),
        namespaces=tuple(_namespace(one, notes) for one in page.pages("matchNamespaces")),
        changes=tuple(_change(one, notes) for one in page.pages("matchNamespaceChanges")),
        capabilities=tuple(_capability(one, notes) for one in page.pages("matchCapabilities")),
        capability_changes=tuple(_capability(one, notes) for one in page.pages("matchCapabilityChanges")),
        credentials=tuple(
            one for each in page.pages("matchCurrentCred") for one in _credentials(each, notes)
        ),
        workloads=workloads(page.page("matchWorkloads"), notes) if "matchWorkloads" in page.keys() else None,  # noqa: SIM118
        actions=_actions(page, "matchActions", notes),
        return_actions=_actions(page, "matchReturnActions", notes),
        path=page.where.path,
    )
    for name in page.texts("macros"):
        if args is None:
            notes.wrong(_at(page, "macros"), "a macro cannot use others")
        elif name not in named:
            notes.wrong(_at(page, "macros"), f"there is no macro {name!r}")
        else:
            found = _joined(found, named[name])
    if args is not None:
        if loose:
            known = {one.index for one in args}
            found = replace(
                found,
                args=tuple(
                    replace(one, args=(one.index,))
                    if not one.args and one.index not in known and one.index < len(args)
                    else one
                    for one in found.args
                ),
            )
        for one in found.args:
            _check(one, args, notes)
        for one in found.data:
            _check(one, data or (), notes, by_place=True)
        for one in found.returns:
            _check_return(one, returned, notes)
    return found if len(notes.faults) == before else None


def _joined(one: Selector, macro: Selector) -> Selector:
    """Return the selector with the macro's filters behind its own; its own actions and workloads go before the macro's."""
    return replace(
        one,
        args=one.args + macro.args,
        data=one.data + macro.data,
        returns=one.returns + macro.returns,
        pids=one.pids + macro.pids,
        binaries=one.binaries + macro.binaries,
        parents=one.parents + macro.parents,
        namespaces=one.namespaces + macro.namespaces,
        changes=one.changes + macro.changes,
        capabilities=one.capabilities + macro.capabilities,
        capability_changes=one.capability_changes + macro.capability_changes,
        credentials=one.credentials + macro.credentials,
        workloads=one.workloads or macro.workloads,
        actions=one.actions + macro.actions,
        return_actions=one.return_actions + macro.return_actions,
    )


def _arguments(page: Page, key: str, lists: Lists, notes: Notes) -> tuple[ArgumentFilter, ...]:
    found = []
    for one in page.pages(key):
        operator = operators.canonical(notes.text(one, "operator"))
        if operator is None:
            notes.wrong(_at(one, "operator"), f"there is no operator {one.take('operator')!r}")
            operator = ""
        values: list[str] = []
        for value in notes.values(one):
            if not value.startswith("list:"):
                values.append(value)
                continue
            name = value.removeprefix("list:")
            if name not in lists:
                notes.wrong(_at(one, "values"), f"there is no list {name!r}")
                continue
            sort, members, wanted = lists[name]
            values.extend([f"{sort}:{wanted}"] if sort.startswith("generated") else members)
        found.append(
            ArgumentFilter(
                operator=operator,
                values=tuple(values),
                index=notes.number(one, "index"),
                args=notes.numbers(one, "args"),
                path=one.where.path,
            )
        )
    return tuple(found)


def _check(one: ArgumentFilter, args: Sequence[Argument], notes: Notes, *, by_place: bool = False) -> None:
    """Note what is wrong with a filter in the light of the arguments that the probe declares."""
    where = Where(path=one.path)
    places = list(one.args) or ([one.index] if by_place else [])
    if places:
        if any(at >= len(args) for at in places):
            notes.wrong(where, f"the probe has only {len(args)} arguments")
            return
        subjects = [args[at] for at in places]
    else:
        subjects = [each for each in args if each.index == one.index][:1]
        if not subjects:
            notes.wrong(where, f"the probe names no argument with index {one.index}")
            return
    if one.operator == "CapabilitiesGained":
        kinds = [argtypes.named(each.type) for each in subjects]
        if len(kinds) != 2 or any(kind is None or kind.form != "capabilities" for kind in kinds):
            notes.wrong(
                where,
                "CapabilitiesGained compares two arguments of capabilities: the new ones and the old ones",
            )
        return
    _fits(one, subjects[0], notes)


def _check_return(one: ArgumentFilter, returned: Argument | None, notes: Notes) -> None:
    if returned is None:
        notes.wrong(Where(path=one.path), "the probe has no returnArg")
        return
    _fits(one, returned, notes)


def _fits(one: ArgumentFilter, subject: Argument, notes: Notes) -> None:
    where = Where(path=one.path)
    kind = argtypes.named(subject.type)
    if kind is None or not one.operator:
        return  # noted already
    if (subject.resolve or subject.source) and not resolving.known(subject):
        notes.unable(where, f"{subject.resolve or subject.source} cannot be read, so it cannot be compared")
        return
    if kind.form == "unreadable":
        notes.unable(where, f"an argument of type {subject.type} cannot be compared: {kind.why}")
        return
    if one.operator not in kind.operators and subject.type != "auto":
        notes.wrong(where, f"{one.operator} does not compare arguments of type {subject.type}")
        return
    fault = operators.fault(one.operator, one.values, kind if subject.type != "auto" else None)
    if fault:
        notes.wrong(where, fault)


def _negated(page: Page, notes: Notes) -> bool:
    operator = notes.text(page, "operator")
    if operator not in {"In", "NotIn"}:
        notes.wrong(_at(page, "operator"), f"{operator!r} is neither In nor NotIn")
    return operator == "NotIn"


def _pid(page: Page, notes: Notes) -> PidFilter:
    negated = _negated(page, notes)
    values = page.take("values", [])
    numbers: list[int] = []
    for value in values if isinstance(values, list) else [values]:
        if isinstance(value, int | str) and not isinstance(value, bool) and str(value).isdecimal():
            numbers.append(int(value))
        else:
            notes.wrong(_at(page, "values"), f"{value!r} is no process id")
    follow = notes.flag(page, "followForks") | notes.flag(page, "followforks")
    return PidFilter(
        negated=negated,
        values=tuple(numbers),
        namespaced=notes.flag(page, "isNamespacePID"),
        follow=follow,
        path=page.where.path,
    )


def _binary(page: Page, notes: Notes) -> BinaryFilter:
    operator = notes.text(page, "operator")
    if operator not in _BINARIES:
        notes.wrong(_at(page, "operator"), f"{operator!r} does not compare binaries")
    follow = notes.flag(page, "followChildren")
    if follow and operator not in {"In", "NotIn"}:
        notes.wrong(_at(page, "followChildren"), f"children are not followed with {operator}")
    return BinaryFilter(operator=operator, values=notes.values(page), follow=follow, path=page.where.path)


def _namespace(page: Page, notes: Notes) -> NamespaceFilter:
    name = notes.text(page, "namespace")
    if name.lower() not in NAMESPACES:
        notes.wrong(_at(page, "namespace"), f"there is no sort of namespaces {name!r}")
    negated = _negated(page, notes)
    numbers, host = [], False
    for value in notes.values(page):
        if value == "host_ns":
            host = True
        elif value.isdecimal():
            numbers.append(int(value))
        else:
            notes.wrong(_at(page, "values"), f"{value!r} is neither a namespace's number nor host_ns")
    which = NAMESPACES.index(name.lower()) if name.lower() in NAMESPACES else 0
    return NamespaceFilter(
        which=which, negated=negated, values=tuple(numbers), host=host, path=page.where.path
    )


def _change(page: Page, notes: Notes) -> ChangeFilter:
    negated, mask = _negated(page, notes), 0
    for value in notes.values(page):
        if value.lower() not in NAMESPACES:
            notes.wrong(_at(page, "values"), f"there is no sort of namespaces {value!r}")
        else:
            mask |= 1 << NAMESPACES.index(value.lower())
    return ChangeFilter(mask=mask, negated=negated, path=page.where.path)


def _capability(page: Page, notes: Notes) -> CapabilityFilter:
    sort = (notes.text(page, "type") or "Effective").lower()
    if sort not in SETS:
        notes.wrong(_at(page, "type"), f"there is no set of capabilities {page.take('type')!r}")
    negated, mask = _negated(page, notes), 0
    for value in notes.values(page):
        name = value.strip().upper()
        if name not in CAPABILITIES:
            notes.wrong(_at(page, "values"), f"there is no capability {value!r}")
        else:
            mask |= 1 << CAPABILITIES[name]
    return CapabilityFilter(
        which=SETS.index(sort) if sort in SETS else 0,
        mask=mask,
        negated=negated,
        namespaced=notes.flag(page, "isNamespaceCapability"),
        path=page.where.path,
    )


def _credentials(page: Page, notes: Notes) -> list[CredentialFilter]:
    found = []
    for key, effective in (("uid", False), ("euid", True)):
        for one in page.pages(key):
            operator = operators.canonical(notes.text(one, "operator"))
            if operator not in {"Equal", "NotEqual"}:
                notes.wrong(_at(one, "operator"), "user ids are compared with Equal and NotEqual")
            ranges = []
            for value in notes.values(one):
                pair = operators.span(value)
                if pair is None or pair[0] < 0 or pair[1] >= 1 << 32:
                    notes.wrong(_at(one, "values"), f"{value!r} is no user id and no range of them")
                else:
                    ranges.append(pair)
            found.append(
                CredentialFilter(
                    effective=effective,
                    negated=operator == "NotEqual",
                    ranges=tuple(ranges),
                    path=one.where.path,
                )
            )
    return found


def workloads(page: Page, notes: Notes) -> WorkloadFilter:
    """Return which pods, containers and hosts a spec or a selector means."""
    chosen: dict[str, selectors.Expr | None] = {"podSelector": None, "containerSelector": None}
    for key in chosen:
        value = page.take(key)
        if value is None:
            continue
        try:
            chosen[key] = selectors.from_object(_plain(value))
        except (ValueError, TypeError, AttributeError) as error:
            notes.wrong(_at(page, key), f"this is no label selector: {error}")
            chosen[key] = selectors.NOTHING
    hosts = page.take("hostSelector")
    if hosts is not None and hosts != {}:
        notes.wrong(_at(page, "hostSelector"), "hosts are selected all ({}) or not at all")
    return WorkloadFilter(
        pods=chosen["podSelector"],
        containers=chosen["containerSelector"],
        hosts=hosts is not None,
        path=page.where.path,
    )


def _plain(value: Any) -> Any:
    """Return a label selector without Cilium's source prefixes in its keys (`k8s:app` is `app`)."""

    def bare(key: Any) -> Any:
        return key.removeprefix("k8s:").removeprefix("any:") if isinstance(key, str) else key

    if not isinstance(value, Mapping):
        raise TypeError("it must be a mapping")
    labels = value.get("matchLabels")
    expressions = value.get("matchExpressions")
    return {
        "matchLabels": {bare(key): one for key, one in labels.items()} if isinstance(labels, Mapping) else {},
        "matchExpressions": [{**one, "key": bare(one.get("key"))} for one in expressions or ()],
    }


def _actions(page: Page, key: str, notes: Notes) -> tuple[Action, ...]:
    found = tuple(_action(one, notes) for one in page.pages(key))
    if len(found) > _MOST_ACTIONS:
        notes.told(_at(page, key), f"Tetragon takes at most {_MOST_ACTIONS} actions; all are used here")
    return found


def _action(page: Page, notes: Notes) -> Action:
    said = notes.text(page, "action")
    kind = ACTIONS.get(said.lower()) or _OLD_ACTIONS.get(said.lower())
    if kind is None:
        notes.wrong(_at(page, "action"), f"there is no action {said!r}")
        kind = "Post"
    rate_ms = _rate(page, kind, notes)
    scope = notes.text(page, "rateLimitScope")
    if scope not in _SCOPES:
        notes.wrong(_at(page, "rateLimitScope"), f"there is no scope {scope!r}")
    error = notes.number(page, "argError", least=-(1 << 31))
    for each in ("argRegs", "argNewSymbol", "argNewOffset", "argNewAddr"):
        if page.take(each):
            notes.lost(_at(page, each), "registers of a program are never changed here")
    followed = {"FollowFD": "argFd", "UnfollowFD": "argFd", "CopyFD": "argFd", "Set": "argIndex"}
    notes.number(page, "argName")
    page.take("enforcerNotifyActionArgIndex")
    found = Action(
        kind=kind,
        error=abs(error) & 0xFFFF,
        signal=notes.number(page, "argSig") or (9 if kind == "Sigkill" else 0),
        target=notes.text(page, "argUrl") or notes.text(page, "argFqdn"),
        index=notes.number(page, followed.get(kind, "argSock")),
        value=notes.number(page, "argValue"),
        rate_ms=rate_ms,
        scope=_SCOPES.get(scope, "thread"),
        kernel_stack=notes.flag(page, "kernelStackTrace"),
        user_stack=notes.flag(page, "userStackTrace"),
        ima_hash=notes.flag(page, "imaHash"),
        path=page.where.path,
    )
    for each in ("argFd", "argSock", "argIndex", "argUrl", "argFqdn"):
        page.take(each)
    if kind == "Signal" and not 0 < found.signal < 65:
        notes.wrong(page.where, "a signal has a number from 1 to 64 (argSig)")
    if kind in {"GetUrl", "DnsLookup"} and not found.target:
        notes.wrong(page.where, f"{kind} needs {'argUrl' if kind == 'GetUrl' else 'argFqdn'}")
    return found


def _rate(page: Page, kind: str, notes: Notes) -> int:
    """Return a rateLimit in ms: seconds, or with s, m or h behind the number."""
    said = page.take("rateLimit", "")
    text = str(said) if isinstance(said, int) and not isinstance(said, bool) else said
    if not text:
        return 0
    if not isinstance(text, str):
        notes.wrong(_at(page, "rateLimit"), "a rateLimit is a text such as 5m")
        return 0
    unit = _UNITS.get(text[-1:].lower())
    number = text[:-1] if unit else text
    if not (number.isascii() and number.isdecimal()):
        notes.odd(
            _at(page, "rateLimit"),
            f"{text!r} is no time: a number of seconds, or one with s, m or h behind it; nothing is limited",
        )
        return 0
    if kind != "Post":
        notes.wrong(_at(page, "rateLimit"), "only Post can be limited")
    return min(int(number) * (unit or 1) * 1000, 0xFFFFFFFF)
