"""Deeds for Falco's incubating rules. Some rules wait for a list of the user's own: OWN gives it."""

from __future__ import annotations

from stage.deeds import Deed, does, on_host, program

OWN = """
- list: namespace_scope_network_only_subnet
  items: [fenced]
  override: {items: replace}
"""

APART = ("mnt", "uts", "ipc", "pid", "net")
FAR = "198.51.100.7"
POD = {"pod": {"namespace": "fenced", "name": "web", "uid": "1"}}

DEEDS = (
    Deed(
        "Modify Shell Configuration File",
        does(("write", "/root/.bashrc", "x")),
        does(("write", "/root/notes", "x")),
    ),
    Deed(
        "Schedule Cron Jobs",
        does(("mkdir", "/etc/cron.d"), ("write", "/etc/cron.d/job", "x")),
        does(("mkdir", "/tmp/cron.d"), ("write", "/tmp/cron.d/job", "x")),
    ),
    Deed(
        "Read ssh information",
        does(("write", "/root/.ssh/id_ed25519", "x"), ("open", "/root/.ssh/id_ed25519")),
        does(("write", "/root/id_ed25519", "x"), ("open", "/root/id_ed25519")),
    ),
    Deed(
        "DB program spawned process",
        program("/usr/sbin/mysqld", act=[("run", "/bin/ls", "ls")]),
        program("/usr/sbin/mysqld", act=[("run", "/usr/bin/postgres", "postgres")]),
    ),
    Deed(
        "Change thread namespace",
        does(("setns", "/proc/self/ns/uts", 0)),
        program("/usr/sbin/runc-like", "runc-like", act=[("setns", "/proc/self/ns/uts", 0)]),
    ),
    Deed(
        "Change namespace privileges via unshare",
        does(("unshare", 0x10000000), before=[("setuid", 1000)]),
        does(("unshare", 0x4000000)),
    ),
    Deed(
        "Launch Privileged Container",
        program("/bin/service"),
        program("/bin/service"),
        container={"privileged": True},
        otherwise={"privileged": False},
    ),
    Deed(
        "Launch Excessively Capable Container",
        program("/bin/service"),
        program("/bin/service", before=[("setuid", 1000)]),
    ),
    Deed(
        "System procs network activity",
        program("/bin/cat", act=[("address", FAR), ("accept", FAR, 8000)], new=APART),
        program("/bin/service", act=[("address", FAR), ("accept", FAR, 8000)], new=APART),
    ),
    Deed(
        "Program run with disallowed http proxy env",
        program("/usr/bin/curl", env={"HTTP_PROXY": "http://192.0.2.1"}),
        program("/usr/bin/curl", env={"NO_PROXY": "192.0.2.1"}),
    ),
    Deed(
        "Unexpected UDP Traffic",
        does(("address", FAR), ("connect", FAR, 9999, "udp"), new=APART),
        does(("address", FAR), ("connect", FAR, 53, "udp"), new=APART),
    ),
    Deed(
        "Non sudo setuid",
        does(("setuid", 1000), ("setuid", 1000)),
        does(("setuid", 0)),
    ),
    Deed("User mgmt binaries", on_host("useradd", "useradd", "eve"), on_host("useradd", "useradd", "-D")),
    Deed(
        "Create files below dev",
        does(("open", "/dev/hidden", "cw")),
        does(("open", "/tmp/hidden", "cw")),
    ),
    Deed(
        "Contact EC2 Instance Metadata Service From Container",
        does(("address", "169.254.169.254"), ("accept", "169.254.169.254", 80), new=APART),
        does(("address", "169.254.169.253"), ("accept", "169.254.169.253", 80), new=APART),
    ),
    Deed(
        "Contact cloud metadata service from container",
        does(("address", "169.254.169.254"), ("accept", "169.254.169.254", 80), new=APART),
        does(("address", "169.254.169.253"), ("accept", "169.254.169.253", 80), new=APART),
    ),
    Deed(
        "Launch Package Management Process in Container",
        program("/usr/bin/apt-get", "apt-get", "install", "x"),
        program("/usr/bin/installer", "installer", "install", "x"),
    ),
    Deed(
        "Launch Suspicious Network Tool in Container",
        program("/usr/bin/nmap", "nmap", "10.0.0.0/8"),
        program("/usr/bin/ping", "ping", "10.0.0.1"),
    ),
    Deed("Launch Suspicious Network Tool on Host", on_host("nmap"), on_host("ping")),
    Deed(
        "Delete or rename shell history",
        does(("write", "/root/.bash_history", "x"), ("unlink", "/root/.bash_history")),
        does(("write", "/root/.bash_notes", "x"), ("unlink", "/root/.bash_notes")),
    ),
    Deed(
        "Set Setuid or Setgid bit",
        does(("write", "/tmp/tool", "x"), ("chmod", "/tmp/tool", 0o4755)),
        does(("write", "/tmp/tool", "x"), ("chmod", "/tmp/tool", 0o755)),
    ),
    Deed("Launch Remote File Copy Tools in Container", program("/usr/bin/rsync"), program("/bin/cp")),
    Deed(
        "Network Connection outside Local Subnet",
        does(("address", FAR), ("accept", FAR, 8000), new=APART),
        does(("address", "10.9.9.9"), ("connect", "10.9.9.9", 8000, "udp"), new=APART),
        container=POD,
    ),
    Deed(
        "Mount Launched in Privileged Container",
        program("/bin/mount", "mount", "/dev/sda1", "/mnt"),
        program("/bin/mount", "mount", "-l"),
        container={"privileged": True},
    ),
    Deed(
        "Launch Ingress Remote File Copy Tools in Container",
        program("/usr/bin/curl", "curl", "-O", "http://192.0.2.1/x"),
        program("/usr/bin/curl", "curl", "http://192.0.2.1/x"),
    ),
    Deed(
        "Read environment variable from /proc files",
        does(("read", "/proc/1/environ")),
        does(("read", "/proc/1/status")),
    ),
    Deed(
        "Exfiltrating Artifacts via Kubernetes Control Plane",
        program(
            "/usr/bin/runc",
            act=[("run", "/bin/tar", "tar", "cf", "-", "x")],
            then=[[("open", "/root/data", "cw"), ("open", "/root/data")]],
        ),
        program(
            "/usr/bin/runc",
            act=[("run", "/bin/tar", "tar", "cf", "-", "x")],
            then=[[("open", "/etc/passwd")]],
        ),
    ),
    Deed(
        "Adding ssh keys to authorized_keys",
        does(("write", "/root/.ssh/authorized_keys", "x")),
        does(("write", "/root/.ssh/known_hosts", "x")),
    ),
    Deed(
        "Potential Local Privilege Escalation via Environment Variables Misuse",
        program("/usr/bin/su", env={"GLIBC_TUNABLES": "glibc.malloc.mxfast=x"}),
        program("/usr/bin/su", env={"GLIBC_OTHER": "x"}),
    ),
    Deed(
        "Backdoored library loaded into SSHD (CVE-2024-3094)",
        program(
            "/usr/sbin/sshd", act=[("write", "/lib/liblzma.so.5.6.1", "x"), ("open", "/lib/liblzma.so.5.6.1")]
        ),
        program(
            "/usr/sbin/sshd", act=[("write", "/lib/liblzma.so.5.4.1", "x"), ("open", "/lib/liblzma.so.5.4.1")]
        ),
    ),
    Deed("BPF Program Not Profiled", does(("bpf",)), program("/usr/sbin/bpftool", act=[("bpf",)])),
)
