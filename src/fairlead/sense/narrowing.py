"""One comparison of a condition -> what the kernel can ask instead: tests of which some must pass whenever the comparison is true.

Never less than the comparison wants: `atom` gives alternatives, each tests that must all pass, or None where it cannot say. What
a name of a file may be (see places.names) decides which texts are asked. Knows the fields by name; what it does not know it leaves to the
residue.
"""

# ruff: noqa: ARG001  every function of the table takes the same arguments

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import TypeAlias

from fairlead.sense import arguments, flagwords, places
from fairlead.sense.plans import Arg, Op, Test, What
from fairlead.sense.syscalls import call_of
from fairlead.tongues.conditions.trees import Check, Exists, Leaf, Value, Values

Alternatives: TypeAlias = "tuple[tuple[Test, ...], ...]"
"""Of these at least one passes, all its tests together."""

_WILD = re.compile(r"[*?\[\\]")
_OPENERS = {"open": 1, "openat": 2, "open_by_handle_at": 2}
_NETWORK_KINDS = frozenset({"connect", "accept", "accept4", "bind", "listen", *places.SENDING})
_SIGNED = {"<": Op.LT, "<=": Op.LE, ">": Op.GT, ">=": Op.GE, "=": Op.EQ, "!=": Op.NE}
_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "=": "!=", "!=": "="}


def atom(leaf: Leaf, kind: str, negated: bool) -> Alternatives | None:
    """Return alternatives for a comparison (or its opposite) on events of a kind, None where the kernel cannot help."""
    if isinstance(leaf, Exists) or leaf.field is None or leaf.values is None or leaf.mod:
        return None
    name = leaf.field.name
    if name.startswith("evt.arg.") and not negated:
        return _parameter(leaf, kind, name.removeprefix("evt.arg."))
    if name == "evt.arg" and leaf.field.argument is not None and not negated:
        return _parameter(leaf, kind, leaf.field.argument)
    function = _FIELDS.get(name)
    if function is not None:
        return function(leaf, kind, negated)
    if name.startswith(("container.", "k8s.")) and not negated and not {"host", "N/A", "<NA>"} & set(leaf.values or ()) and leaf.op in {
        "=", "in", "startswith", "endswith", "contains", "icontains", "glob", "iglob", "regex", "intersects",
    } and all(leaf.values):  # fmt: skip
        return _contained(leaf)
    return None


def _contained(leaf: Check) -> Alternatives | None:
    """What is true of containers only; a pattern may mean `host` too."""
    plain = leaf.op in {"=", "in", "intersects"}
    if (
        not plain
        and leaf.field is not None
        and leaf.field.name in {"container.id", "container.full_id", "container.name", "container.type"}
    ):
        return None
    return ((Test(What.CONTAINED, Op.EQ, (1,)),),)


def _container_id(leaf: Check, kind: str, negated: bool) -> Alternatives | None:
    values = leaf.values or ()
    inside = (leaf.op == "!=" and values == ("host",) and not negated) or (
        leaf.op in {"=", "in"} and "host" in values and negated
    )
    if inside:
        return ((Test(What.CONTAINED, Op.EQ, (1,)),),)
    if leaf.op in {"=", "in"} and not negated and "host" not in values:
        return ((Test(What.CONTAINED, Op.EQ, (1,)),),)
    return None


# ---- numbers


def _numbers(values: Iterable[str]) -> tuple[int, ...] | None:
    found = []
    for one in values:
        try:
            found.append(int(one, 16) if one.lower().startswith("0x") else int(one))
        except ValueError:
            return None
    return tuple(found)


def _compared(what: What, leaf: Check, negated: bool, *, sure: bool) -> Alternatives | None:
    """A number compared with numbers; where it may be absent the opposite of a comparison is no comparison."""
    values = _numbers(leaf.values or ())
    if values is None or not values or (negated and not sure):
        return None
    op = leaf.op
    if op in {"in", "intersects"}:
        return ((Test(what, Op.NOTINSET if negated else Op.INSET, values),),)
    if op not in _SIGNED or len(values) != 1:
        return None
    return ((Test(what, _SIGNED[_OPPOSITE[op] if negated else op], values),),)


def _ret(leaf: Check, kind: str, negated: bool) -> Alternatives | None:
    return _compared(What.RET, leaf, negated, sure=True)


def _fd_number(leaf: Check, kind: str, negated: bool) -> Alternatives | None:
    """What a call returned; -1 stands for every error."""
    if call_of(kind).ret is not Arg.FD:
        return None
    values = _numbers(leaf.values or ())
    if values is None or len(values) != 1:
        return None
    op = _OPPOSITE.get(leaf.op) if negated else leaf.op
    (value,) = values
    if op in {">", ">="} and value >= -1:
        return ((Test(What.RET, _SIGNED[op], (value,)),),) if value >= 0 or op == ">" else None
    if op == "=":
        return ((Test(What.RET, Op.EQ, (value,)) if value >= 0 else Test(What.RET, Op.LT, (0,)),),)
    if op == "!=" and value == -1:
        return ((Test(What.RET, Op.GE, (0,)),),)
    return None


def _res(leaf: Check, kind: str, negated: bool) -> Alternatives | None:
    values = leaf.values or ()
    known = {"SUCCESS", *flagwords.NUMBERS_OF_ERRORS}
    if leaf.op in {"=", "in"} and set(values) <= known:
        errors = tuple(-flagwords.NUMBERS_OF_ERRORS[one] for one in values if one != "SUCCESS")
        if "SUCCESS" in values:
            if negated:
                return ((Test(What.RET, Op.LT, (0,)),),)
            return (
                (Test(What.RET, Op.GE, (0,)),),
                *(((Test(What.RET, Op.INSET, errors),),) if errors else ()),
            )
        return ((Test(What.RET, Op.NOTINSET if negated else Op.INSET, errors),),)
    if leaf.op == "!=" and values == ("SUCCESS",):
        return ((Test(What.RET, Op.GE if negated else Op.LT, (0,)),),)
    if leaf.op == "startswith" and values[0].startswith("E") and not negated:
        return ((Test(What.RET, Op.LT, (0,)),),)
    return None


def _truth(leaf: Check, negated: bool) -> bool | None:
    """Whether a field of yes or no must be yes."""
    values = leaf.values or ()
    if len(values) != 1 or values[0] not in {"true", "false"} or leaf.op not in {"=", "!=", "in"}:
        return None
    return (values[0] == "true") is not ((leaf.op == "!=") is not negated)


def _failed(leaf: Check, kind: str, negated: bool) -> Alternatives | None:
    wanted = _truth(leaf, negated)
    return None if wanted is None else ((Test(What.RET, Op.LT if wanted else Op.GE, (0,)),),)


def _open_write(leaf: Check, kind: str, negated: bool) -> Alternatives | None:
    at = _OPENERS.get(kind)
    return ((Test(What.ARG, Op.NE, (0,), at, 3),),) if at is not None and _truth(leaf, negated) else None


def _open_read(leaf: Check, kind: str, negated: bool) -> Alternatives | None:
    at, wanted = _OPENERS.get(kind), _truth(leaf, negated)
    return (
        None
        if at is None or wanted is None
        else ((Test(What.ARG, Op.NE if wanted else Op.EQ, (1,), at, 3),),)
    )


def _open_exec(leaf: Check, kind: str, negated: bool) -> Alternatives | None:
    if not _truth(leaf, negated):
        return None
    if kind == "creat":
        return ((Test(What.ARG, Op.ANYBITS, (0o111,), 1),),)
    at = {"open": 1, "openat": 2}.get(kind)
    return (
        None
        if at is None
        else ((Test(What.ARG, Op.ANYBITS, (0o20000100,), at), Test(What.ARG, Op.ANYBITS, (0o111,), at + 1)),)
    )


def _open_create(leaf: Check, kind: str, negated: bool) -> Alternatives | None:
    at = _OPENERS.get(kind)
    if at is None or not _truth(leaf, negated):
        return None
    return ((Test(What.ARG, Op.ANYBITS, (0o100,), at), Test(What.RET, Op.GE, (0,))),)


def _uid(leaf: Check, kind: str, negated: bool) -> Alternatives | None:
    return (
        _compared(What.UID, leaf, negated, sure=True)
        if all(not one.startswith("-") for one in leaf.values or ())
        else None
    )


def _gid(leaf: Check, kind: str, negated: bool) -> Alternatives | None:
    return (
        _compared(What.GID, leaf, negated, sure=True)
        if all(not one.startswith("-") for one in leaf.values or ())
        else None
    )


# ---- parameters


def _parameter(leaf: Check, kind: str, name: str) -> Alternatives | None:
    of = arguments.parameter(kind, name)
    if of is None:
        return None
    if of.source.isdigit():
        return _flagged(leaf, of, int(of.source))
    if of.format == "path":
        return _path(leaf, kind, of.source)
    if of.format == "text":
        at = call_of(kind).positions.get(of.source)
        tests = None if at is None else _direct(leaf, at)
        return None if tests is None else tuple((one,) for one in tests)
    return None


def _matching(leaf: Check) -> Callable[[str], bool] | None:
    """Whether a name among the constants of a table would make the comparison true."""
    values = leaf.values or ()
    match leaf.op:
        case "=" | "in":
            return lambda text: text in values
        case "contains":
            return lambda text: values[0] in text
        case "icontains":
            return lambda text: values[0].lower() in text.lower()
        case "startswith":
            return lambda text: text.startswith(values[0])
        case "endswith":
            return lambda text: text.endswith(values[0])
        case _:
            return None


def _flagged(leaf: Check, of: arguments.Parameter, index: int) -> Alternatives | None:
    """Flags and commands by their names."""
    matching = _matching(leaf)
    values = leaf.values or ()
    if matching is None or not all(values):
        return None
    table = arguments.FLAGS.get(of.format)
    if of.format == "open":
        table = tuple(one for one in flagwords.OPEN if one[0] not in {"O_RDWR", "O_WRONLY", "O_RDONLY"})
        if any(matching(one) for one in ("O_RDWR", "O_WRONLY", "O_RDONLY")):
            return None
    if table is not None:
        if leaf.op not in {"contains", "icontains"} or any(
            "|" in one or (one.isalnum() and one.isdigit()) for one in values
        ):
            return None
        bits = 0
        for flag, bit in table:
            if matching(flag):
                if not bit:
                    return None
                bits |= bit | (flagwords.OPEN_ELSEWHERE.get(flag, 0) if of.format == "open" else 0)
        hexadecimal = all(one in "0123456789abcdefABCDEF" for one in values[0])
        return ((Test(What.ARG, Op.ANYBITS, (bits,), index),),) if bits and not hexadecimal else None
    named = arguments.ENUMERATIONS.get(of.format)
    if named is None or matching("UNKNOWN") or matching("PTRACE_UNKNOWN") or matching("RLIMIT_UNKNOWN"):
        return None
    numbers = {number for number, word in named.items() if matching(word)}
    for one in values:
        if one.isdigit():
            if leaf.op not in {"=", "in"}:
                return None
            numbers.add(int(one))
    return ((Test(What.ARG, Op.INSET, tuple(sorted(numbers)), index, 0xFFFFFFFF),),) if numbers else ()


# ---- texts


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _direct(leaf: Check, at: int) -> list[Test] | None:
    """Tests of a text that is compared as it was passed: one of them passes."""
    values = tuple(_bytes(one) for one in leaf.values or ())
    if not values or not all(values):
        return None
    match leaf.op:
        case "=" | "in":
            return [Test(What.TEXT, Op.TEXT_IN, values, at)]
        case "startswith":
            return [Test(What.TEXT, Op.PREFIX, values, at)]
        case "pmatch":
            return _path_matched(leaf.values or (), at)
        case "endswith":
            return [Test(What.TEXT, Op.SUFFIX, values, at)]
        case "contains":
            return [Test(What.TEXT, Op.CONTAINS, (values[0][:8],), at)]
        case "glob":
            return _globbed((leaf.values or ("",))[0], at)
        case _:
            return None


def _literal_start(pattern: str) -> str:
    found = _WILD.search(pattern)
    return pattern if found is None else pattern[: found.start()]


def _path_matched(patterns: Iterable[str], at: int) -> list[Test] | None:
    """What pmatch asks for. It compares part by part, whatever slashes lie between and before: a relative path may match, and one with doubled slashes."""
    starts = []
    for one in patterns:
        start = _literal_start(one)
        start = start.rstrip("/") or "/"
        if not start.startswith("/") or "//" in start:
            return None
        starts.append(_bytes(start))
    return [
        Test(What.TEXT, Op.PREFIX, tuple(starts), at), Test(What.TEXT, Op.RELATIVE, (), at), Test(What.TEXT, Op.CONTAINS, (b"//",), at),
    ]  # fmt: skip


def _globbed(pattern: str, at: int) -> list[Test] | None:
    """The piece of a glob that says most: its beginning, its end, or one between."""
    if "\\" in pattern or "[" in pattern:
        start = _literal_start(pattern)
        return [Test(What.TEXT, Op.PREFIX, (_bytes(start),), at)] if len(start) > 1 else None
    pieces = re.split(r"[*?]+", pattern)
    if len(pieces) == 1:
        return [Test(What.TEXT, Op.TEXT_IN, (_bytes(pattern),), at)]
    if len(pieces[0]) > 1:
        return [Test(What.TEXT, Op.PREFIX, (_bytes(pieces[0]),), at)]
    if pieces[-1]:
        return [Test(What.TEXT, Op.SUFFIX, (_bytes(pieces[-1]),), at)]
    longest = max(pieces, key=len)
    return [Test(What.TEXT, Op.CONTAINS, (_bytes(longest)[:8],), at)] if longest else None


def _relative(test: Test, argument: int, base: int) -> list[tuple[Test, ...]]:
    """What must hold of a relative path and its directory so that the path, made absolute, passes the test."""
    found: list[tuple[Test, ...]] = []
    values = [one for one in test.values if isinstance(one, bytes)]
    if test.op is Op.RELATIVE:  # it passes every relative path already
        return found
    relative = Test(What.TEXT, Op.RELATIVE, (), argument)
    if test.op in {Op.TEXT_IN, Op.SUFFIX}:
        tails = {one[at + 1 :] for one in values for at in range(len(one)) if one[at : at + 1] == b"/"} - {
            b""
        }
        if test.op is Op.SUFFIX:
            tails |= {one for one in values if not one.startswith(b"/")}
            found.append((Test(What.TEXT, Op.SUFFIX, test.values, argument),))
        if tails:
            found.append((Test(What.TEXT, Op.TEXT_IN, tuple(sorted(tails)), argument),))
    elif test.op is Op.PREFIX:
        above = {one[:at] or b"/" for one in values for at in range(len(one)) if one[at : at + 1] == b"/"}
        found.append((relative, Test(What.TEXT, Op.PREFIX, test.values, base)))
        if above:
            found.append((relative, Test(What.TEXT, Op.TEXT_IN, tuple(sorted(above)), base)))
    else:  # CONTAINS
        piece = values[0]
        found.append((relative, Test(What.TEXT, Op.CONTAINS, (piece,), base)))
        for at in range(len(piece)):
            if piece[at : at + 1] == b"/":
                after, before = piece[at + 1 :], piece[:at]
                if after:
                    found.append((relative, Test(What.TEXT, Op.PREFIX, (after,), argument)))
                else:
                    found.append(
                        (relative, Test(What.TEXT, Op.SUFFIX, (before,), base)) if before else (relative,)
                    )
    return found


def _crooked(argument: int) -> list[tuple[Test, ...]]:
    """Tests of which one passes for every path that is not plain: what it comes to is for the residue to say."""
    return [
        (Test(What.TEXT, Op.CONTAINS, (b"/../",), argument),),
        (Test(What.TEXT, Op.CONTAINS, (b"/./",), argument),),
        (Test(What.TEXT, Op.CONTAINS, (b"//",), argument),),
        (Test(What.TEXT, Op.SUFFIX, (b"/", b"/.", b"/.."), argument),),
        (Test(What.TEXT, Op.PREFIX, (b"./", b"../"), argument),),
        (Test(What.TEXT, Op.TEXT_IN, (b".", b".."), argument),),
    ]


def _of_path(tests: list[Test], argument: int, base: int | None) -> list[tuple[Test, ...]]:
    """Alternatives for a path argument, made absolute and plain, that passes one of the tests (on the argument's text)."""
    found: list[tuple[Test, ...]] = [(one,) for one in tests]
    if base is not None:
        for one in tests:
            found += _relative(one, argument, base)
    return found + _crooked(argument)


def _path(leaf: Check, kind: str, source: str) -> Alternatives | None:
    """A path argument compared as it is when it was made absolute."""
    where = call_of(kind).positions
    at = where.get(source)
    if at is None:
        return None
    tests = _direct(leaf, at)
    if tests is None:
        return None
    base = where.get(f"{source}@")
    if base is None:  # no room for the directory: a relative path stays as it is
        return (*((one,) for one in tests), *_crooked(at))
    return tuple(dict.fromkeys(_of_path(tests, at, base)))


def _name(leaf: Check, kind: str, negated: bool) -> Alternatives | None:
    """fd.name."""
    return None if negated else _named(leaf, kind)


def _named(leaf: Check, kind: str) -> Alternatives | None:
    """A name of the file that a call is about: resolved, or as it was passed."""
    call = call_of(kind)
    argument = places.PATH_OF.get(kind)
    if argument is None:
        if not call.has_place or kind in _NETWORK_KINDS:
            return None
        tests = _direct(leaf, 0)
        # A socket's name is none of its texts.
        return (
            None
            if tests is None
            else (*((one,) for one in tests), (Test(What.FAMILY, Op.INSET, (1, 2, 10)),))
        )
    at = call.positions[argument]
    resolved, passed = _direct(leaf, 0), _direct(leaf, at)
    if resolved is None or passed is None:
        return None
    failed = Test(What.RET, Op.LT, (0,))
    found: list[tuple[Test, ...]] = [(one,) for one in (*resolved, *passed)]
    found += [
        (failed, *one) for one in _of_path(passed, at, call.positions.get(f"{argument}@")) if one not in found
    ]
    return tuple(dict.fromkeys(found))


def _raw_name(leaf: Check, kind: str, negated: bool) -> Alternatives | None:
    argument = places.PATH_OF.get(kind)
    if negated or argument is None:
        return None
    tests = _direct(leaf, call_of(kind).positions[argument])
    return None if tests is None else tuple((one,) for one in tests)


def _directory(leaf: Check, kind: str, negated: bool) -> Alternatives | None:
    """fd.directory: what lies in it begins with it."""
    values = leaf.values or ()
    if negated or not all(values):
        return None
    if leaf.op in {"=", "in"}:
        if not all(one.startswith("/") for one in values):
            return None
        return _named(
            _rewritten(leaf, "startswith", [one if one == "/" else f"{one}/" for one in values]), kind
        )
    if leaf.op == "startswith":
        return _named(leaf, kind) if all(one.startswith("/") for one in values) else None
    if leaf.op == "pmatch":
        return _named(leaf, kind)
    if leaf.op in {"contains", "endswith"} and values[0].strip("/."):
        return _named(_rewritten(leaf, "contains", list(values)), kind)
    if leaf.op == "glob":
        start = _literal_start(values[0])
        return (
            _named(_rewritten(leaf, "startswith", [start]), kind)
            if len(start) > 1 and start.startswith("/")
            else None
        )
    return None


def _filename(leaf: Check, kind: str, negated: bool) -> Alternatives | None:
    """fd.filename: the end of the name."""
    values = leaf.values or ()
    if negated or not all(values):
        return None
    if leaf.op in {"=", "in"}:
        return _named(_rewritten(leaf, "endswith", list(values)), kind)
    if leaf.op == "endswith":
        return _named(leaf, kind)
    if leaf.op in {"contains", "startswith"}:
        return _named(_rewritten(leaf, "contains", list(values)), kind)
    return None


def _rewritten(leaf: Check, op: str, values: list[str]) -> Check:
    """The same comparison with another operator and other constants; several are for the tests that take sets."""
    return Check(leaf.left, op, Values(tuple(Value(one, quoted=True) for one in values)))


# ---- sockets


def _family(leaf: Check, kind: str, negated: bool) -> Alternatives | None:
    """fd.typechar and fd.type: sockets only."""
    if negated or leaf.op not in {"=", "in"} or kind in places.OPENING or kind in places.CREATING:
        return None
    families: set[int] = set()
    for one in leaf.values or ():
        found = {"4": (2, 10), "ipv4": (2, 10), "6": (10,), "ipv6": (10,)}.get(one)
        if found is None:
            return None
        families.update(found)
    return ((Test(What.FAMILY, Op.INSET, tuple(sorted(families))),),)


def _sockfamily(leaf: Check, kind: str, negated: bool) -> Alternatives | None:
    if negated or leaf.op != "=":
        return None
    found = {"ip": (2, 10), "unix": (1,)}.get((leaf.values or ("",))[0])
    return None if found is None else ((Test(What.FAMILY, Op.INSET, found),),)


def _l4proto(leaf: Check, kind: str, negated: bool) -> Alternatives | None:
    found = {"tcp": (6, 1), "udp": (17, 2)}.get((leaf.values or ("",))[0])
    if negated or leaf.op != "=" or found is None:
        return None
    proto, sort = found
    return (Test(What.PROTO, Op.EQ, (proto,)),), (Test(What.SOCKTYPE, Op.EQ, (sort,)),)


def _sides(field: str, kind: str) -> tuple[bool, bool]:
    """Whether the local and the remote end may be the one that a field names (fd.sport, fd.lip, fd.net ...)."""
    side = field.removeprefix("fd.")[:1]
    if side == "l":
        return True, False
    if side == "r":
        return False, True
    if side in {"p", "i", "n"}:  # port, ip, net: either
        return True, True
    remote_serves = kind == "connect" or kind in places.SENDING
    local_serves = kind in places.ACCEPTING or kind in {"bind", "listen"}
    if not remote_serves and not local_serves:
        return True, True
    return (local_serves, remote_serves) if side == "s" else (remote_serves, local_serves)


def _port(leaf: Check, kind: str, negated: bool) -> Alternatives | None:
    assert leaf.field is not None
    if negated or leaf.op == "!=":
        return None
    local, remote = _sides(leaf.field.name, kind)
    found: list[tuple[Test, ...]] = []
    for wanted, what in ((local, What.LPORT), (remote, What.RPORT)):
        if wanted:
            tests = _compared(what, leaf, negated=False, sure=True)
            if tests is None:
                return None
            found += tests
    return tuple(found)


def _askable(value: str) -> bool:
    """Whether a network may be asked for: what holds the address of nobody may stand for an end that is not there."""
    try:
        net = ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    return int(net.network_address) != 0 and not value.lower().startswith("::ffff:")


def _address(leaf: Check, kind: str, negated: bool) -> Alternatives | None:
    assert leaf.field is not None
    values = leaf.values or ()
    if not values or not all(_askable(one) for one in values):
        return None
    local, remote = _sides(leaf.field.name, kind)
    ends = [what for wanted, what in ((local, What.LADDR), (remote, What.RADDR)) if wanted]
    positive = (leaf.op in {"=", "in"}) is not negated
    if leaf.op not in {"=", "!=", "in"}:
        return None
    if positive:
        if leaf.op == "!=":  # not (a != x): one of the ends is x, or there is none
            return None
        return tuple((Test(what, Op.NET, tuple(values)),) for what in ends)
    if leaf.field.name[3] in "cs" and len(ends) > 1:
        return None  # it is not known which end it is
    return (tuple(Test(what, Op.NOTNET, tuple(values)) for what in ends),)


_FIELDS: dict[str, Callable[[Check, str, bool], Alternatives | None]] = {
    "evt.rawres": _ret, "evt.res": _res, "evt.failed": _failed, "fd.num": _fd_number,
    "evt.is_open_write": _open_write, "evt.is_open_read": _open_read, "evt.is_open_exec": _open_exec, "evt.is_open_create": _open_create,
    "user.uid": _uid, "group.gid": _gid, "container.id": _container_id,
    "fd.name": _name, "fd.nameraw": _raw_name, "fd.directory": _directory, "fd.filename": _filename,
    "fd.typechar": _family, "fd.type": _family, "fd.sockfamily": _sockfamily, "fd.l4proto": _l4proto,
    **dict.fromkeys(("fd.port", "fd.cport", "fd.sport", "fd.lport", "fd.rport"), _port),
    **dict.fromkeys(("fd.ip", "fd.cip", "fd.sip", "fd.lip", "fd.rip", "fd.net", "fd.cnet", "fd.snet", "fd.lnet", "fd.rnet"), _address),
}  # fmt: skip
