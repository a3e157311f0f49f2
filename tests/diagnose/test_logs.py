"""The telling line of a log, by the log's shape."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.diagnose.logs import telling

PYTHON = """\
2026-01-01T00:00:00Z starting
Traceback (most recent call last):
  File "/app/main.py", line 3, in <module>
    connect()
  File "/app/db.py", line 9, in connect
    raise OperationalError("no route")
db.OperationalError: no route
cleaning up
"""
CHAINED = """\
Traceback (most recent call last):
  File "a.py", line 1, in <module>
    x
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 3, in <module>
    y
ValueError: the second
"""
JAVA = """\
2026-01-01 00:00:00 INFO  Starting
Exception in thread "main" java.lang.IllegalStateException: cannot start
\tat com.example.Main.main(Main.java:5)
Caused by: java.net.UnknownHostException: db
\tat java.base/java.net.InetAddress.getByName(InetAddress.java:1)
\t... 3 more
"""
GO = """\
listening
panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x1]

goroutine 1 [running]:
main.main()
\t/app/main.go:7 +0x1
exit status 2
"""
NODE = """\
/app/index.js:3
throw new Error('bad config')
^

Error: bad config
    at Object.<anonymous> (/app/index.js:3:7)
    at Module._compile (node:internal/modules/cjs/loader:1:1)

Node.js v20.0.0
"""
RUST = """\
thread 'main' panicked at src/main.rs:2:5:
called `Result::unwrap()` on an `Err` value: NotFound
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
"""


@pytest.mark.parametrize(
    ("log", "line", "shape"),
    [
        (PYTHON, "db.OperationalError: no route", "trace"),
        (CHAINED, "ValueError: the second", "trace"),
        (JAVA, "Caused by: java.net.UnknownHostException: db", "trace"),
        (GO, "panic: runtime error: invalid memory address or nil pointer dereference", "trace"),
        (NODE, "Error: bad config", "trace"),
        ("httpd: unrecognized option '--prot'\nBox v1 (Debian 1:2) multi-call binary.\n\nUsage: httpd [-f]\n\n\t-f  Foreground", "httpd: unrecognized option '--prot'", "usage"),
        ("flag provided but not defined: -x\nUsage of app:\n  -y int", "flag provided but not defined: -x", "usage"),
        ("usage: app [-h]\napp: error: unrecognized arguments: --x", "app: error: unrecognized arguments: --x", "level"),
        (RUST, "called `Result::unwrap()` on an `Err` value: NotFound", "trace"),
        ('{"level":"info","msg":"up"}\n{"level":"error","msg":"no db","error":"refused"}\n{"level":"info","msg":"bye"}', "no db: refused", "level"),
        ('{"level":50,"msg":"pino says no"}', "pino says no", "level"),
        ('time=now level=info msg=up\ntime=now level=fatal msg="cannot listen" err="address in use"', "cannot listen: address in use", "level"),
        ("level=error msg=cannot open database err=no such file", "cannot open database: no such file", "level"),
        ("I0101 00:00:00.1 1 main.go:1] up\nF0101 00:00:00.2 1 main.go:2] no config\n", "F0101 00:00:00.2 1 main.go:2] no config", "level"),
        ('2026/01/01 00:00:00 [emerg] 1#1: host not found in upstream "api"\n', '[emerg] 1#1: host not found in upstream "api"', "level"),
        ("2026-01-01 00:00:00,1 ERROR main: it broke\n2026-01-01 00:00:01,1 INFO main: bye", "ERROR main: it broke", "level"),
        ('\x1b[31mFATAL\x1b[0m: role "x" does not exist', 'FATAL: role "x" does not exist', "level"),
        ("up\nconfig file /etc/app.conf: no such file\n\n", "config file /etc/app.conf: no such file", "last"),
        ("errors: 0, all is well", "errors: 0, all is well", "last"),
    ],
)  # fmt: skip
def test_telling(log: str, line: str, shape: str) -> None:
    found = telling(log)
    assert found is not None
    assert (found.line, found.shape) == (line, shape)


def test_nothing_to_tell() -> None:
    assert telling("") is None
    assert telling("\n  \n") is None


@given(st.text())
def test_no_log_raises(log: str) -> None:
    telling(log)
