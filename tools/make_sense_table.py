"""Writes docs/sense.md from the code's own tables: `python tools/make_sense_table.py > docs/sense.md`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from fairlead.dialects.falco import auditing, collecting, versions
from fairlead.dialects.tracingpolicy import acting, argtypes, operators, placing, selecting
from fairlead.dialects.tracingpolicy.hooks_files import FILES
from fairlead.dialects.tracingpolicy.hooks_network import NETWORK
from fairlead.dialects.tracingpolicy.hooks_processes import PROCESSES
from fairlead.dialects.tracingpolicy.places import Row
from fairlead.reactor.sensing import Sensing
from fairlead.reactor.sensing_steps import Options
from fairlead.sense import arguments, fields, syscalls
from fairlead.sense.events import KERNEL_KINDS
from fairlead.tongues import conditions
from fairlead.tongues.conditions.trees import LIST_OPERATORS, NUMBER_OPERATORS, TEXT_OPERATORS
from fairlead.tongues.conditions.types import Many, Type, refusal

HEAD = """\
# Sense

Made by `python tools/make_sense_table.py` from the tables that the program itself reads; a test keeps both the same.

`fairlead sense` watches every process of a Linux machine and judges what they do by rules: Falco's, Tetragon's, Tracee's
([their page](tracee.md)) and fairlead's own, together and as the files are. What in a file is wrong, or cannot be had on this kernel, becomes
a finding with file, line and path; the rest is used.

| where | how |
| --- | --- |
| a machine, by hand | `fairlead sense`, with `--rules` or `--policies` for files and folders, `--behaviours` for fairlead's own detectors |
| without looking | `fairlead sense --rules rules/ --check` says what is wrong with rules; `fairlead sense doctor` what this kernel allows |
| a machine, as a service | `fairlead install sense --systemd > /etc/systemd/system/fairlead-sensor.service` |
| every node of a cluster | `fairlead install sense \\| kubectl apply -f -` |
| the embedded cluster | `fairlead up` runs a sensor where it may; rules go into `D/sense/rules.d`, TracingPolicies through kubectl |

## What it needs

| what | needs |
| --- | --- |
| watching | Linux 5.17 or later with BTF (`/sys/kernel/btf/vmlinux`), and root |
| `--replay`, `--check` | neither root nor Linux |
| refusing connections and sockets | cgroup hooks (cgroup2), which almost every kernel has |
| refusing opens and executions | fanotify's permission events |
| the functions of the kernel themselves | kprobes or fentry; without them the nearest place serves, as the tables below say |

Nothing is compiled where it runs: the programs are in the package, and no kernel headers and no kernel module are needed. `fairlead sense doctor`
tries what the kernel allows and prints a table: what is there, what is used instead of what is not, and what is lost by it; with
`--policies` also for each hook of each policy.

## What is watched

Always: every process that starts, forks and ends, with those who started it, arguments, environment, user, capabilities, namespaces, cgroup, and the
container, image and pod behind it. On demand, when a rule asks for it, what follows. The kernel drops at once what no rule wants; what it cannot
decide is decided outside. Where events come faster than they are read, some are lost: they are counted by class, and told.

| event | what |
| --- | --- |
"""
KINDS: Mapping[str, str] = {
    "exec": "a program was executed",
    "forked": "a process was started by fork or clone",
    "exited": "the last thread of a process ended",
    "signal": "a signal was sent",
    "oom": "the kernel chose a process to kill for memory",
    "module": "a kernel module was loaded",
    "module_wanted": "the kernel asked for a module",
    "sock_state": "a TCP socket changed its state",
    "sock_send": "a socket sent",
    "skb_drop": "the kernel dropped a packet",
    "cgroup": "a cgroup was made or removed",
    "prevented": "something was refused that a policy asked to refuse",
    "kprobe": "a function of the kernel was called (kprobe, fentry), where the kernel takes such probes",
    "uprobe": "a function of a program was called, or a USDT probe met",
    "tracepoint": "a tracepoint of the kernel was met",
    "lsm": "a security hook of the kernel was met, where it takes such programs",
}
OUTPUTS = """
## Output

| `-o` | what |
| --- | --- |
| `text` | lines for a person: processes as a tree or, with rules, what these found (`--events` gives both), what was refused, and containers that ended badly |
| `findings` | at the end, one finding for each rule, place and program, with how often it was seen and the trees of processes behind it |
| `json` | a JSON object each line: `time` (ns since the epoch), `kind`, `process`, `ancestors`, and for a detection `rule`, `message` and `action`; a refusal has the kind `prevented`, a container's end the kind `died` |
| `falco` | detections of Falco's rules, as Falco's JSON output has them |
| `tetragon` | every execution and exit, and what TracingPolicies found, as Tetragon's export has them |
| `tracee` | detections of Tracee's policies and detectors, as Tracee's JSON output has them |

In text, a process' start and its end are one line where nothing lies between, and what a rule says of one process again and again at once is told
once, with how often. On a terminal no line is wider than it, and control characters in names are shown as `\\x1b`.

`--pid` (with descendants), `--pod`, `--binary`, `--rule` and `--priority` choose what is shown. `--record FILE` keeps what the kernel told; `--replay FILE` judges it
again, on any machine and without root, with the same findings. The exit code is 0 when it ended as asked, 1 when it could not go on, or when a
replay or a run with `--seconds` found something, and 2 when the command, a rule or a recording cannot be understood. `--check` gives 1 when a
rule has a fault.

In a cluster each rule and subject becomes one `Detection` (`kubectl get detections -A`), which is counted up while it goes on and goes a day after it was
seen last. Detections about a pod lie in its namespace, those about the machine in `default`. They show in `fairlead diagnose`.

## Enforcement

Nothing is refused or killed until a policy asks for it. Each event says what was done, in one of two words:

| word | what happened |
| --- | --- |
| prevented | the call was refused with an error before it had any effect: by the kernel's cgroup hooks, fanotify or security hooks |
| killed | the process was sent SIGKILL by the kernel itself, in the very call; an execution is killed before its first instruction |

A call other than an execution may have had its effect when its caller is killed: write and execve are stopped at their entry, an open that creates a
file is not. Where a whole selector cannot be decided by the kernel, it does not act on a part that could hit others: it only watches, and a
finding says why. The machine's first process, the sensor itself and the control plane of an embedded cluster are never acted on.
`fairlead sense --pin` lets what is refused stay refused after the sensor ends; `fairlead sense unpin` takes it back.

## Flight recorder

For each container the kernel's side keeps a small ring of what failed last: files that were not found or not allowed, connections that were refused or timed out, executions
that failed, permission denials, kills for memory and fatal signals. When the container dies with an error, the ring becomes a
`FlightRecord` beside its pod (`kubectl get flightrecords`), the last three deaths each, and `fairlead diagnose` shows it as evidence. It goes with the pod.

| field of `deaths[]` | what |
| --- | --- |
| `time`, `containerID` | when, and which container |
| `exitCode`, `signal` | how its first process ended, as a shell counts it |
| `pid`, `command` | which process that was |
| `outOfMemory` | whom the kernel killed for memory, where it did |
| `calls[]` | what failed, the oldest first: `call`, `error`, `message`, `path` or `peer`, `command`, `pid`, `uid`, `count`, `time`, `lastTime` |

## Metrics

`--metrics PORT` serves them at `/metrics` on loopback, as does `fairlead serve sense`.

| metric | type | what |
| --- | --- | --- |
"""
FALCO = """
## Falco

Rule files are read with lists, macros, rules, exceptions, overrides and required versions, up to engine version {engine}. Rules over audit events
(`source: k8s_audit`) judge what the embedded cluster's API is asked. A rule that names what is not supported is left out with a finding
that says which and where; all others run.

### Keys

| item | keys |
| --- | --- |
"""
KEYS: Mapping[str, tuple[str, ...]] = {
    "rule": (
        "rule", "condition", "output", "desc", "priority", "source", "enabled", "tags", "exceptions", "warn_evttypes", "skip-if-unknown-filter",
        "capture", "capture_duration", "append", "override",
    ),
    "exception": ("name", "fields", "comps", "values"),
    "macro": ("macro", "condition", "append", "override"),
    "list": ("list", "items", "append", "override"),
    "file": ("required_engine_version", "required_plugin_versions"),
}  # fmt: skip
MEANINGS: Mapping[str, str] = {
    "=": "the same (also `==`)", "!=": "not the same", "<=": "at most", "<": "less", ">=": "at least", ">": "more",
    "contains": "the text is in it", "icontains": "the same, whatever the case", "bcontains": "the bytes, in hexadecimal, are in it",
    "startswith": "it begins with the text", "bstartswith": "it begins with the bytes, in hexadecimal", "endswith": "it ends with the text",
    "glob": "all of it fits the pattern (`*`, `?`, `[...]`)", "iglob": "the same, whatever the case",
    "regex": "all of it fits the regular expression (RE2)", "in": "it is one of the values", "intersects": "one of its values is one of these",
    "pmatch": "it is one of the paths, or lies below one", "exists": "there is a value at all",
}  # fmt: skip
TRANSFORMED: Mapping[str, str] = {
    "tolower": "in small letters", "toupper": "in capitals", "b64": "decoded from base64", "basename": "the last part of a path",
    "len": "its length, or how many values", "join": "several, with a separator between", "concat": "several, one after the other",
}  # fmt: skip
LANGUAGE = """
### Conditions

`and`, `or`, `not`, parentheses; macros and lists by name; `oneof`, `anyof` and `allof` behind an operator for several values; `val(field)` on the
right side. A comparison with what is absent is false, `!=` too.

| operator | of | true when |
| --- | --- | --- |
"""
TETRAGON = """
## Tetragon

`TracingPolicy` and `TracingPolicyNamespaced` (`cilium.io/v1alpha1`), from files or from the cluster's API. A selector of which a part is not
understood is left out whole, and its probe only watches: it would hit too many.

### Hooks

| section | what |
| --- | --- |
| `kprobes` | functions of the kernel and system calls. A system call is seen by its own tracepoint; another function by a kprobe, or where kprobes are absent by the nearest place (see below) |
| `fentries` | the same, by fentry where the kernel has it |
| `lsmhooks` | security hooks: by LSM programs, else by the function behind the hook, else by the nearest place |
| `tracepoints`, `rawtracepoints` | tracepoints, by their fields; those of system calls are seen as the calls are |
| `uprobes`, `usdts` | functions and probes of programs, by the path that the host sees |

### Argument types

| type | in events | operators | |
| --- | --- | --- | --- |
"""
SELECTORS = """
### Selectors

| key | what |
| --- | --- |
| `matchArgs`, `matchData`, `matchReturnArgs` | arguments, data and the returned value, by the operators above |
| `matchPIDs` | `In`, `NotIn`; `followForks`, `isNamespacePID` |
| `matchBinaries`, `matchParentBinaries` | `In`, `NotIn`, `Prefix`, `NotPrefix`, `Postfix`, `NotPostfix`; `followChildren` with the first two |
| `matchNamespaces` | `In`, `NotIn` of namespaces' numbers and `host_ns` |
| `matchNamespaceChanges`, `matchCapabilityChanges` | told by what the kernel sees at the event; of namespaces the way into the host's and out of it |
| `matchCapabilities` | `In`, `NotIn` of the effective, permitted or inheritable set |
| `matchCurrentCred` | `uid`, `euid`: `Equal`, `NotEqual`, numbers and ranges |
| `matchWorkloads`, `podSelector`, `containerSelector`, `hostSelector` | pods and containers by labels, or the host |
| `macros` | selectors that the policy names once (`selectorsMacros`) |

### Actions

`matchActions` and `matchReturnActions`. In monitor mode (`policy-mode`) all are told and none is carried out.

| action | here |
| --- | --- |
"""
ACTED: Mapping[str, str] = {
    "Post": "the event is told; `rateLimit` with its scope is kept in the kernel or outside. Stacks and IMA hashes are not taken: a finding says so",
    "NoPost": "the event is not told",
    "Sigkill": "**killed**: SIGKILL by the kernel where the selector is met, and at a system call's entry where what it asks can be read there",
    "Signal": "the signal is sent by the kernel, likewise",
    "Override": "**prevented** by the nearest means (see below), or refused with the reason, and then the selector only watches",
    "NotifyEnforcer": "its signal and its error are carried out where the selector is met",
    "GetUrl": "handed on in the detection, and not done: the sensor reaches out to nobody",
    "DnsLookup": "the same",
    "Set": "refused: programs' memory is left alone",
}
OVERRIDES = """
| what is overridden | means |
| --- | --- |
"""
PLACES = """
### Functions of the kernel where kprobes are absent

Where the kernel takes kprobes, fentry or LSM programs, the function itself is hooked. Elsewhere a system call, a tracepoint or the process'
own events tell of it: `used` says which, `differs` how that is not the same, and `lost` what is not seen. Every system call by its own name
(`sys_openat`, `__x64_sys_openat`) is seen besides, with all of its arguments.
"""


def cell(text: str) -> str:
    """Return a text that can stand in a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def codes(names: Iterable[str]) -> str:
    """Return names as code, in one line."""
    return ", ".join(f"`{cell(name)}`" for name in names)


def watched() -> Iterator[str]:
    """Yield the rows of what is watched."""
    yield HEAD.rstrip("\n")
    yield f"| system calls | all of the machine's, at their return and where that is needed at their entry ({len(syscalls.EVERY)} names), with paths as the kernel opened them |"
    for kind in KERNEL_KINDS.values():
        yield f"| `{kind}` | {KINDS[kind]} |"


def metrics() -> Iterator[str]:
    """Yield the rows of the metrics that a sensor serves."""
    yield OUTPUTS.rstrip("\n")
    told: dict[str, str] = {}
    for line in Sensing(Options(identify=False)).metrics.text().splitlines():
        if line.startswith("# HELP "):
            name, _, text = line.removeprefix("# HELP ").partition(" ")
            told[name] = text
        elif line.startswith("# TYPE "):
            name, _, kind = line.removeprefix("# TYPE ").partition(" ")
            yield f"| `{name}` | {kind} | {cell(told[name])} |"


def falco() -> Iterator[str]:
    """Yield Falco's part."""
    yield FALCO.format(engine=versions.ENGINE).rstrip("\n")
    for item, keys in KEYS.items():
        yield f"| {item} | {codes(keys)} |"
    yield f"\nPriorities: {', '.join(collecting.PRIORITIES)}. Plugins whose fields are here: {codes(versions.PLUGINS)}."
    yield LANGUAGE.rstrip("\n")
    for op in (*NUMBER_OPERATORS, *TEXT_OPERATORS, *LIST_OPERATORS):
        of = [str(kind) for kind in Type if not refusal(op, kind, Many.ONE)]
        of += ["list"] if not refusal(op, Type.TEXT, Many.LIST) else []
        yield f"| `{op}` | {'all' if len(of) > len(Type) else ', '.join(of)} | {cell(MEANINGS[op])} |"
    yield f"| `exists` | all | {MEANINGS['exists']} |"
    yield "\n| transformer | gives |\n| --- | --- |"
    for name in conditions.TRANSFORMERS:
        yield f"| `{name}()` | {TRANSFORMED[name]} |"
    yield "\n### Fields\n\nIn conditions and in outputs. `[n]` takes a number, `[key]` a text; with `?` it may be left out.\n"
    yield "| field | type | what |\n| --- | --- | --- |"
    for doc in fields.docs():
        yield f"| `{doc.name}{_argument(doc.arguments)}` | {doc.type} | {cell(doc.text)} |"
    yield f"| `evt.arg.NAME`, `evt.rawarg.NAME` | text | a parameter of the event, in words and as it is: {codes(sorted(arguments.NAMES))} |"
    yield "\nFields that Falco has and this has not:\n\n| fields | why |\n| --- | --- |"
    why: dict[str, list[str]] = {}
    for name, reason in fields.UNSUPPORTED.items():
        why.setdefault(reason, []).append(name)
    for reason, names in why.items():
        yield f"| {codes(names)} | {cell(reason)} |"
    yield "\nFields of audit events (`source: k8s_audit`):\n\n| field | type | what |\n| --- | --- | --- |"
    for name, row in auditing.FIELDS.items():
        kind = "list" if row.many is Many.LIST else str(row.type)
        yield f"| `{name}{_argument(row.argument + '?' if row.argument == 'index' else row.argument)}` | {kind} | {cell(row.doc)} |"


def _argument(of: str) -> str:
    if not of:
        return ""
    shown = "n" if of.startswith("index") else "key"
    return f"[{shown}]" + ("?" if of.endswith("?") else "")


def tetragon() -> Iterator[str]:
    """Yield Tetragon's part."""
    yield TETRAGON.rstrip("\n")
    alike: dict[int, list[str]] = {}
    for name, kind in argtypes.TYPES.items():
        alike.setdefault(id(kind), []).append(name)
    for called in alike.values():
        kind = argtypes.TYPES[called[0]]
        said = kind.why or {"nothing": "passed over", "number": f"{kind.bits} bits"}.get(kind.form, "")
        yield f"| {codes(called)} | {codes([kind.field]) if kind.field else ''} | {_operators(kind)} | {said} |"
    yield "\n| operators of a type | |\n| --- | --- |"
    for what, found in (("numbers", argtypes.NUMBERS), ("texts", argtypes.TEXTS), ("paths", argtypes.PATHS), ("files", argtypes.FILES),
                        ("ends", argtypes.ENDS), ("sockets", argtypes.SOCKETS), ("capabilities", argtypes.CAPABILITIES)):  # fmt: skip
        yield f"| {what} | {codes(one for one in operators.OPERATORS if one in found)} |"
    yield (
        f"\nAll {len(operators.OPERATORS)} operators of values: {codes(operators.OPERATORS)}; `GreaterThan` and `LessThan` are other names of `GT` and `LT`. "
        "`In` and `NotIn` are of process ids, binaries, namespaces and capabilities."
    )
    yield SELECTORS.rstrip("\n")
    for action in selecting.ACTIONS.values():
        yield f"| `{action}` | {cell(ACTED.get(action) or 'not needed: ' + acting.IDLE[action])} |"
    yield OVERRIDES.rstrip("\n")
    prevented: dict[str, list[str]] = {}
    for function, hook in acting.PREVENTED.items():
        prevented.setdefault(hook, []).append(function)
    for at, functions in prevented.items():
        yield f"| {codes(functions)} | prevented by the cgroup hooks of {at}: addresses, ports, and who asks can be told |"
    yield f"| {codes(sorted(acting.OPENED))} | prevented by fanotify: whole paths (`Equal`) and beginnings (`Prefix`), for all or for binaries and containers |"
    yield f"| {codes(sorted(acting.EXECUTED))} | prevented by fanotify, likewise |"
    yield "| any other | prevented by an LSM program, fmod_ret or an error injection where the kernel has one, else refused |"
    yield PLACES.rstrip("\n")
    for title, rows in (
        ("Files", FILES),
        ("Processes, credentials, modules, BPF", PROCESSES),
        ("Network", NETWORK),
    ):
        yield f"\n#### {title}\n\n| function | used | differs | lost |\n| --- | --- | --- | --- |"
        yield from (_function(name, row) for name, row in rows.items() if row.spots)
    yield "\n#### Not to be seen without kprobes\n\n| function | why |\n| --- | --- |"
    why: dict[str, list[str]] = {}
    for name, row in placing.ROWS.items():
        if not row.spots:
            why.setdefault(row.why, []).append(name)
    for reason, names in why.items():
        yield f"| {codes(names)} | {cell(reason)} |"


def _operators(kind: argtypes.Type) -> str:
    for name, found in (
        ("numbers", argtypes.NUMBERS),
        ("texts", argtypes.TEXTS),
        ("paths", argtypes.PATHS),
        ("files", argtypes.FILES),
        ("ends", argtypes.ENDS),
        ("sockets", argtypes.SOCKETS),
        ("capabilities", argtypes.CAPABILITIES),
    ):
        if kind.operators == found:
            return f"of {name}"
    extra = [one for one in operators.OPERATORS if one in kind.operators - argtypes.PATHS]
    return f"of paths, {codes(extra)}" if kind.operators > argtypes.PATHS else codes(sorted(kind.operators))


def _function(name: str, row: Row) -> str:
    used = placing.place(name, frozenset()).used
    return f"| `{name}` | {cell(used)} | {cell(row.differs)} | {cell(row.lost)} |"


def lines() -> Iterator[str]:
    """Yield the page."""
    yield from watched()
    yield from metrics()
    yield from falco()
    yield from tetragon()


if __name__ == "__main__":
    print("\n".join(lines()))
