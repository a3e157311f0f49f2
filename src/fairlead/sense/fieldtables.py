"""The tables of Falco's fields: name | type, many, cost, sure | source | meaning. Data; `fields` reads it.

Type: t text, i int, b bool, p port, a address, n network, y bytes. Then `*` one of several is enough, `&` all or one as Falco has it.
Then the cost (0 attribute, 1 lookup, 2 work), and `!` where it is never absent. After `||` stands the source without an argument.
"""

from __future__ import annotations

from collections.abc import Mapping

EVENTS = """
evt.num | i0! | event.serial | the event's number
evt.time | t2! | time_text(event.time, "%H:%M:%S") | when, with nanoseconds, UTC
evt.time.s | t2! | time_text(event.time, "%H:%M:%S", 0) | when, without nanoseconds
evt.time.iso8601 | t2! | iso_time(event.time) | when, as ISO 8601 has it
evt.datetime | t2! | time_text(event.time, "%Y-%m-%d %H:%M:%S") | date and time, with nanoseconds
evt.datetime.s | t2! | time_text(event.time, "%Y-%m-%d %H:%M:%S", 0) | date and time
evt.rawtime | i0! | event.time | ns since the epoch
evt.rawtime.s | i0! | event.time // 1000000000 | seconds since the epoch
evt.rawtime.ns | i0! | event.time % 1000000000 | ns within the second
evt.reltime | i1! | relative_time(event) | ns since the first event
evt.reltime.s | i1! | relative_time(event) // 1000000000 | seconds since the first event
evt.reltime.ns | i1! | relative_time(event) % 1000000000 | ns within that second
evt.source | t0! | "syscall" | the source: syscall
evt.is_async | b0! | False | whether the event is asynchronous: never
evt.hostname | t1! | around.hostname | the machine's name
evt.dir | t0! | ">" if event.raw[9] & 1 else "<" | the direction: < for what is seen at the return
evt.type | t0! | TYPES.get(event.kind, event.kind) | the event's name
evt.type.is[key] | i0! | int(TYPES.get(event.kind, event.kind) == {0}) | 1 for events of this name
syscall.type | t0! | TYPES.get(event.kind, event.kind) | the system call's name
evt.category | t0! | CATEGORIES.get(event.kind, "other") | the event's category
evt.args | t2! | all_args(event) | all parameters
evt.info | t2! | all_args(event) | all parameters
evt.buffer | y1 | buffer(event) | what was read or written
evt.buflen | i1 | (lambda found: None if found is None else len(found))(buffer(event)) | its length
evt.res | t1! | "SUCCESS" if event.raw[4] >= 0 else error_name(event.raw[4]) | SUCCESS or the error's name
evt.rawres | i0! | event.raw[4] | what the call returned
evt.failed | b0! | event.raw[4] < 0 | whether the call failed
evt.is_io | b0! | event.kind in IO_READS or event.kind in IO_WRITES | whether something is read or written
evt.is_io_read | b0! | event.kind in IO_READS | whether something is read
evt.is_io_write | b0! | event.kind in IO_WRITES | whether something is written
evt.io_dir | t0 | "r" if event.kind in IO_READS else "w" if event.kind in IO_WRITES else None | r or w
evt.count | i0! | 1 | 1
evt.is_open_read | b1! | is_open(event, 1) | whether a path was opened for reading
evt.is_open_write | b1! | is_open(event, 2) | whether a path was opened for writing
evt.is_open_exec | b1! | is_open_exec(event) | whether a file was made that may be executed
evt.is_open_create | b1! | is_open_create(event) | whether a file was opened that is made when it is not there
evt.abspath | t2 | fs_path(event, "name") or fs_path(event, "target") | the path that a call works on, absolute
evt.abspath.src | t2 | fs_path(event, "source") | the path that a call starts from, absolute
evt.abspath.dst | t2 | fs_path(event, "target") | the path that a call leads to, absolute
fs.path.name | t2 | fs_path(event, "name") | the path that a call works on, absolute
fs.path.nameraw | t2 | fs_path(event, "name", True) | the same as it was passed
fs.path.source | t2 | fs_path(event, "source") | the path that a call starts from, absolute
fs.path.sourceraw | t2 | fs_path(event, "source", True) | the same as it was passed
fs.path.target | t2 | fs_path(event, "target") | the path that a call leads to, absolute
fs.path.targetraw | t2 | fs_path(event, "target", True) | the same as it was passed
"""

PROCESSES = """
proc.name | t0! | event.process.name or event.comm | the name: comm at exec or fork
proc.pname | t0 | (p := event.process.parent) and p.name or None | the parent's name
proc.aname[index?] | t1/* | (p := {chain}) and p.name or None || ancestor_names(event) | the name of an ancestor; without an index any of them
proc.exe | t1! | event.process.exe_name | argv[0]
proc.pexe | t1 | (p := event.process.parent) and p.exe_name or None | the parent's argv[0]
proc.aexe[index?] | t1/* | (p := {chain}) and p.exe_name or None || ancestor_values(event, "exe_name") | an ancestor's argv[0]
proc.exepath | t0 | exe_path(event.process) | the path of the executable
proc.pexepath | t0 | exe_path(event.process.parent) | the path of the parent's executable
proc.aexepath[index?] | t1/* | exe_path({chain}) || [exe_path(p) or "" for p in event.process.ancestors()] | the path of an ancestor's executable
proc.pid | i0! | event.raw[5] | the process' id
proc.vpid | i0! | event.process.vpid | its id in its own pid namespace
proc.pvpid | i0 | event.process.vppid | the parent's id in that namespace
proc.ppid | i0 | event.process.ppid | the parent's id
proc.apid[index?] | i1/* | (p := {chain}) and p.pid or None || ancestor_values(event, "pid") | an ancestor's id
proc.args | t1! | event.process.arguments | the arguments after argv[0]
proc.cmdline | t1! | event.process.cmdline | the name and the arguments
proc.pcmdline | t1 | (p := event.process.parent) and p.cmdline or None | the parent's name and arguments
proc.acmdline[index?] | t1/* | (p := {chain}) and p.cmdline or None || ancestor_values(event, "cmdline") | an ancestor's name and arguments
proc.exeline | t1! | " ".join(event.process.args) or event.process.exe | argv[0] and the arguments
proc.cmdnargs | i1! | max(0, len(event.process.args) - 1) | how many arguments
proc.cmdlenargs | i1! | sum(len(one) for one in event.process.args[1:]) | how many characters the arguments have, blanks apart
proc.env[key?] | t2 | variable(event.process, {0}) || " ".join(event.process.env) | the environment at exec, or one variable
proc.aenv[key?] | t2* | ancestor_variables(event, {0}) || " ".join((p := event.process.parent) and p.env or []) | a variable of the ancestors; without a name the parent's environment
proc.cwd | t0! | event.process.cwd if event.process.cwd.endswith("/") else event.process.cwd + "/" | the working directory
proc.tty | i0! | event.process.tty | the controlling terminal, 0 for none
proc.sid | i0! | event.process.vsid | the session's id, in the process' pid namespace
proc.sname | t1 | (p := session(event)) and p.name or None | the name of the session's leader
proc.sid.exe | t1 | (p := session(event)) and p.exe_name or None | the session leader's argv[0]
proc.sid.exepath | t1 | exe_path(session(event)) | the path of the session leader's executable
proc.is_sid_leader | b0! | event.process.vsid == event.process.vpid | whether it leads its session
proc.vpgid | i0! | event.process.vpgid | the process group's id, in the process' pid namespace
proc.vpgid.name | t1 | (p := group(event)) and p.name or None | the name of the group's leader
proc.vpgid.exe | t1 | (p := group(event)) and p.exe_name or None | the group leader's argv[0]
proc.vpgid.exepath | t1 | exe_path(group(event)) | the path of the group leader's executable
proc.is_vpgid_leader | b0! | event.process.vpgid == event.process.vpid | whether it leads its group
proc.pgid | i0! | event.process.pgid | the process group's id on the host
proc.pgid.name | t1 | (p := group(event)) and p.name or None | the name of the group's leader
proc.pgid.exe | t1 | (p := group(event)) and p.exe_name or None | the group leader's argv[0]
proc.pgid.exepath | t1 | exe_path(group(event)) | the path of the group leader's executable
proc.is_pgid_leader | b0! | event.process.pgid == event.process.pid | whether it leads its group
proc.duration | i0 | since(event.time, event.process.started) | ns since it was started
proc.ppid.duration | i0 | (p := event.process.parent) and since(event.time, p.started) | ns since the parent was started
proc.pid.ts | i0 | event.process.started or None | when it was started, ns since the epoch
proc.ppid.ts | i0 | (p := event.process.parent) and p.started or None | when the parent was started
proc.is_exe_writable | b0! | event.process.exe_writable | whether it may write to its executable
proc.is_exe_upper_layer | b0! | event.process.exe_upper | whether the executable lies in the writable layer of an overlay
proc.is_exe_from_memfd | b0! | event.process.exe_memfd | whether the executable is a memfd
proc.exe_ino | i0 | event.process.exe_ino or None | the executable's inode
proc.exe_ino.ctime | i0 | event.process.exe_ctime or None | when the executable's inode was changed
proc.exe_ino.mtime | i0 | event.process.exe_mtime or None | when the executable was changed
proc.exe_ino.ctime_duration_proc_start | i0 | since(event.process.started, event.process.exe_ctime) | ns between the inode's change and the start
proc.exe_ino.ctime_duration_pidns_start | i1 | since(pidns_start(event), event.process.exe_ctime) | ns between the inode's change and the start of the pid namespace
proc.pidns_init_start_ts | i1 | pidns_start(event) | when the first process of the pid namespace was started
proc.loginshellid | i1 | login_shell(event) | the id of the eldest shell among the ancestors
proc.is_container_healthcheck | b1! | healthcheck(event, "health") | whether it is its container's health check
proc.is_container_liveness_probe | b1! | healthcheck(event, "liveness") | whether it is its container's liveness probe
proc.is_container_readiness_probe | b1! | healthcheck(event, "readiness") | whether it is its container's readiness probe
thread.tid | i0! | event.raw[6] | the thread's id
thread.vtid | i0 | event.process.vpid if event.raw[6] == event.raw[5] else None | the thread's id in its pid namespace
thread.ismain | b0! | event.raw[6] == event.raw[5] | whether the thread is the process' first
thread.nametid | t1! | event.comm + str(event.raw[6]) | the thread's name and id
thread.cap_permitted | t1! | capabilities(event.process.caps[1]) | capabilities that it may have
thread.cap_effective | t1! | capabilities(event.process.caps[0]) | capabilities in effect
thread.cap_inheritable | t1! | capabilities(event.process.caps[2]) | capabilities that it hands on
"""

DESCRIPTORS = """
fd.num | i1 | fd_number(event) | the descriptor's number
fd.name | t1* | names_of(event) | the path, or both ends of the connection
fd.nameraw | t1 | raw_name(event) | the path as it was passed
fd.directory | t2* | directories(event) | the directory that the file is in
fd.filename | t2* | filenames(event) | the file's name without its directory
fd.type | t1 | FD_TYPES.get(fd_typechar(event)) | file, directory, ipv4, ipv6, unix, pipe, event, signalfd, eventpoll, inotify ...
fd.typechar | t1 | fd_typechar(event) | the same in one character: f d 4 6 u p e s l i t n b x r m o
fd.ip | a2& | both_addresses(event) | the address of either end
fd.cip | a1 | (p := ends(event)) and p.client | the client's address
fd.sip | a1 | (p := ends(event)) and p.server | the server's address
fd.lip | a1 | (p := ends(event)) and (p.server if p.local_is_server else p.client) | this end's address
fd.rip | a1 | (p := ends(event)) and (p.client if p.local_is_server else p.server) | the other end's address
fd.net | n2& | both_addresses(event) | the network of either end
fd.cnet | n1 | (p := ends(event)) and p.client | the client's network
fd.snet | n1 | (p := ends(event)) and p.server | the server's network
fd.lnet | n1 | (p := ends(event)) and (p.server if p.local_is_server else p.client) | this end's network
fd.rnet | n1 | (p := ends(event)) and (p.client if p.local_is_server else p.server) | the other end's network
fd.port | p2& | both_ports(event) | the port of either end
fd.cport | p1 | (p := ends(event)) and p.client_port or None | the client's port
fd.sport | p1 | (p := ends(event)) and p.server_port or None | the server's port
fd.lport | p1 | (p := ends(event)) and (p.server_port if p.local_is_server else p.client_port) or None | this end's port
fd.rport | p1 | (p := ends(event)) and (p.client_port if p.local_is_server else p.server_port) or None | the other end's port
fd.cproto | t2 | service(end(event, "cport")) | the name of the client's port
fd.sproto | t2 | service(end(event, "sport")) | the name of the server's port
fd.lproto | t2 | service(end(event, "lport")) | the name of this end's port
fd.rproto | t2 | service(end(event, "rport")) | the name of the other end's port
fd.cip.name | t2* | host_names(event, "cip") | names of the client, among those that rules ask for
fd.sip.name | t2* | host_names(event, "sip") | names of the server, among those that rules ask for
fd.lip.name | t2* | host_names(event, "lip") | names of this end
fd.rip.name | t2* | host_names(event, "rip") | names of the other end
fd.l4proto | t1 | l4proto(event) | tcp, udp, icmp or raw
fd.sockfamily | t1 | sockfamily(event) | ip or unix
fd.is_server | b2 | is_server(event) | whether this end is the server
fd.connected | b1 | connected(event) | whether the socket is connected
fd.name_changed | b1! | name_changed(event) | whether the call gave the socket another peer
fd.dev | i1 | file_number(event, "dev") | the device that the file is on
fd.dev.major | i1 | file_number(event, "major") | its major number
fd.dev.minor | i1 | file_number(event, "minor") | its minor number
fd.ino | i1 | file_number(event, "ino") | the file's inode
fd.uid | t2 | (lambda n: None if n is None else str(event.raw[6]) + str(n))(fd_number(event)) | thread and descriptor in one
fd.containername | t2 | (lambda n: n and container_id(event) + ":" + n[0])(names_of(event)) or None | the container's id and the name
fd.containerdirectory | t2 | (lambda n: n and container_id(event) + ":" + n[0])(directories(event)) or None | the container's id and the directory
"""

USERS = """
user.uid | i0! | event.raw[10] | the effective user's number
user.name | t1! | user_name(event) | the user's name, <NA> where nobody knows it
user.homedir | t1! | (p := account(event.raw[10], event.process)) and p.home or "<NA>" | the user's home directory
user.shell | t1! | (p := account(event.raw[10], event.process)) and p.shell or "<NA>" | the user's shell
user.loginuid | i0! | -1 if event.process.loginuid == 4294967295 else event.process.loginuid | who logged in, -1 for nobody
user.loginname | t1! | login_name(event) | that one's name
group.gid | i0! | event.raw[11] | the effective group's number
group.name | t1! | group_name(event) | the group's name
"""

CONTAINERS = """
container.id | t1! | container_id(event) | the first twelve characters of the container's id, or host
container.full_id | t1! | (p := locate(event)) and p.id or "host" | the container's id, or host
container.name | t1 | p.name or None if (p := locate(event)) else "host" | the container's name, or host
container.image | t1 | (p := locate(event)) and p.image or None | the image's name
container.image.id | t1 | (p := locate(event)) and p.image_id or None | the image's id
container.image.repository | t1 | (p := locate(event)) and p.repository or None | the image's repository
container.image.tag | t1 | (p := locate(event)) and p.tag or None | the image's tag
container.image.digest | t1 | (p := locate(event)) and p.digest or None | the image's digest
container.type | t1! | p.runtime or "unknown" if (p := locate(event)) else "host" | the runtime, or host
container.privileged | b1 | (p := locate(event)) and p.privileged | whether it is privileged
container.mounts | t1 | mounts_text(locate(event)) | all mounts
container.mount[key] | t1 | mount(locate(event), "source", {0}, "all") | a mount, by number or by its source
container.mount.source[key] | t1 | mount(locate(event), "dest", {0}, "source") | where a mount comes from
container.mount.dest[key] | t1 | mount(locate(event), "source", {0}, "dest") | where a source is mounted
container.mount.mode[key] | t1 | mount(locate(event), "source", {0}, "mode") | a mount's mode
container.mount.rdwr[key] | t1 | mount(locate(event), "source", {0}, "rdwr") | whether a mount may be written to
container.mount.propagation[key] | t1 | mount(locate(event), "source", {0}, "propagation") | a mount's propagation
container.healthcheck | t1 | probe(locate(event), "health") | the command of the health check
container.liveness_probe | t1 | probe(locate(event), "liveness") | the command of the liveness probe
container.readiness_probe | t1 | probe(locate(event), "readiness") | the command of the readiness probe
container.start_ts | i1 | (p := locate(event)) and p.started or None | when it was started, ns since the epoch
container.duration | i1 | (p := locate(event)) and since(event.time, p.started) | ns since it was started
container.ip | t1 | (p := locate(event)) and p.ip or None | its address
container.host_pid | b1 | (p := locate(event)) and p.host_pid | whether it is in the host's pid namespace
container.host_network | b1 | (p := locate(event)) and p.host_network | whether it is in the host's network namespace
container.host_ipc | b1 | (p := locate(event)) and p.host_ipc | whether it is in the host's ipc namespace
container.label[key] | t1 | (p := locate(event)) and p.labels.get({0}) | a label
container.labels | t1 | (p := locate(event)) and labels_text(p.labels) | all labels
k8s.pod.name | t1 | (p := pod(event)) and p.pod or None | the pod's name
k8s.pod.id | t1 | (p := pod(event)) and p.pod_uid or None | the pod's uid
k8s.pod.uid | t1 | (p := pod(event)) and p.pod_uid or None | the pod's uid
k8s.pod.sandbox_id | t1 | (p := pod(event)) and p.pod_id[:12] or None | the first twelve characters of the sandbox' id
k8s.pod.full_sandbox_id | t1 | (p := pod(event)) and p.pod_id or None | the sandbox' id
k8s.pod.ip | t1 | (p := pod(event)) and p.pod_ip or None | the pod's address
k8s.pod.label[key] | t1 | (p := pod(event)) and p.pod_labels.get({0}) | a label of the pod
k8s.pod.labels | t1 | (p := pod(event)) and labels_text(p.pod_labels) | all labels of the pod
k8s.ns.name | t1 | (p := pod(event)) and p.pod_namespace or None | the pod's namespace
k8s.deployment.name | t1 | (p := pod(event)) and (p.workload if p.workload_kind == "Deployment" else None) or None | the pod's Deployment
k8s.rs.name | t1 | (p := pod(event)) and (p.workload if p.workload_kind == "ReplicaSet" else None) or None | the pod's ReplicaSet
k8s.rc.name | t1 | (p := pod(event)) and (p.workload if p.workload_kind == "ReplicationController" else None) or None | the pod's ReplicationController
"""

_TIMED = "a call is seen once, at its return"
_COUNTED = "the kernel's side does not read it"
UNSUPPORTED: Mapping[str, str] = {
    **dict.fromkeys(
        ("evt.latency", "evt.latency.s", "evt.latency.ns", "evt.latency.quantized", "evt.latency.human", "evt.wait_latency", "evt.is_wait"), _TIMED
    ),
    **dict.fromkeys(("evt.deltatime", "evt.deltatime.s", "evt.deltatime.ns", "evt.outputtime", "evt.around", "evt.cpu"), _COUNTED),
    **dict.fromkeys(
        ("proc.vmsize", "proc.vmrss", "proc.vmswap", "thread.pfmajor", "thread.pfminor", "thread.vmsize", "thread.vmrss", "thread.vmsize.b",
         "thread.vmrss.b", "proc.fdopencount", "proc.fdlimit", "proc.fdusage", "proc.nchilds", "proc.nthreads", "thread.cpu", "thread.cpu.user",
         "thread.cpu.system", "thread.exectime", "thread.totexectime", "thread.cgroups", "thread.cgroup"), _COUNTED,
    ),
    **dict.fromkeys(("proc.stdin.type", "proc.stdin.name", "proc.stdout.type", "proc.stdout.name", "proc.stderr.type", "proc.stderr.name",
                     "fd.types", "fdlist.nums", "fdlist.names", "fdlist.cips", "fdlist.sips", "fdlist.cports", "fdlist.sports"),
                    "only the descriptor that a call is about is looked at"),
    **dict.fromkeys(("proc.is_exe_lower_layer", "fd.is_upper_layer", "fd.is_lower_layer"), "the layer of a file is known of executables only"),
    **dict.fromkeys(("container.cni.json", "k8s.pod.cni.json"), "what a network plugin answered is not kept"),
    **dict.fromkeys(("k8s.svc.name", "k8s.svc.id", "k8s.svc.label", "k8s.svc.labels", "k8s.ns.id", "k8s.ns.label", "k8s.ns.labels", "k8s.rs.id",
                     "k8s.rs.label", "k8s.rs.labels", "k8s.rc.id", "k8s.rc.label", "k8s.rc.labels", "k8s.deployment.id", "k8s.deployment.label",
                     "k8s.deployment.labels"), "of what lies around a pod only its name is known"),
    **dict.fromkeys(("syslog.facility.str", "syslog.facility", "syslog.severity.str", "syslog.severity", "syslog.message", "evt.is_syslog"),
                    "messages to syslog are not read"),
    **dict.fromkeys(("evt.pluginname", "evt.plugininfo", "evt.asynctype"), "there are no plugins"),
}  # fmt: skip
"""Fields that Falco has and this has not, with the reason."""

OPENED: Mapping[str, tuple[str, bool]] = {
    "evt.is_open_read": ("{flags} & 3 != 1", True),
    "evt.is_open_write": ("0 < {flags} & 3 < 3", True),
    "fd.num": ("event.raw[4] if event.raw[4] >= 0 else -1", True),
    "fd.typechar": (
        '"d" if event.raw[4] >= 0 and ({flags} & 65536 or (event.raw[23][13] & 240 == 64 and event.raw[9] & 32)) else "f"',
        True,
    ),
}
"""Shorter sources, and whether they are never absent, for open and openat; `{flags}` is the argument with the flags."""
SINGLE: Mapping[str, str] = {
    "fd.name": "event.names_memo[0]",
    "fd.directory": "directory(event.names_memo[0])",
    "fd.filename": "event.names_memo[0].rpartition('/')[2]",
}
"""Sources for files that have one name, which is known already."""
