"""Which hosts a text speaks of: one line a case."""

from __future__ import annotations

import pytest

from fairlead.diagnose.hosts import arguments, hostly, named, setting, unveiled, written

SETTINGS: list[tuple[str, str, list[str]]] = [
    ("URL", "http://web", ["web:80"]),
    ("URL", "https://web.shop:8443/x?y=http", ["web.shop:8443"]),
    ("URL", "postgres://u:p%40x@db/shop", ["db:5432"]),
    ("URL", "jdbc:postgresql://db.shop.svc.cluster.local/shop", ["db.shop.svc.cluster.local:5432"]),
    ("URL", "mongodb://a:1,b.shop:2/x", ["a:1", "b.shop:2"]),
    ("URL", "mongodb+srv://a.shop/x", ["a.shop"]),
    ("URL", "http://WEB./", ["web:80"]),
    ("BROKERS", "k-0.k:9092,k-1.k:9092", ["k-0.k:9092", "k-1.k:9092"]),
    ("DSN", "u:p@tcp(db:3306)/shop", ["db:3306"]),
    ("DSN", "host=db user=x port=5433", ["db:5433"]),
    ("DSN", "host=db user=x", ["db"]),
    ("DB_HOST", "db", ["db"]),
    ("dbHost", "db.shop", ["db.shop"]),
    ("TARGET", "dns:///db.shop.svc:90", ["db.shop.svc:90"]),
    ("MODE", "db", []),
    ("TIME", "10:30", []),
    ("DB_HOST", "10.0.0.1", []),
    ("IMAGE", "redis:latest", []),
    ("URL", "http://$(HOST):80", []),
    ("URL", "http://${NS}-db.shop.svc:80", []),
    ("NO_PROXY", ".svc,db.shop.svc", []),
    ("LISTEN_ADDR", "web:80", []),
    ("HOSTS", "*.shop.svc", []),
    ("PORT", "db:99999", ["db"]),
    ("EMPTY", "", []),
]


@pytest.mark.parametrize(
    ("name", "value", "expected"), SETTINGS, ids=[f"{one[0]}={one[1]}" for one in SETTINGS]
)
def test_settings(name: str, value: str, expected: list[str]) -> None:
    found = setting(name, value)
    assert [f"{one.host}:{one.port}" if one.port else one.host for one in found] == expected
    assert all(value[one.start : one.start + len(one.host)].lower() == one.host for one in found)


LINES: list[tuple[list[str], list[str]]] = [
    (["sh", "-c", "until nc -z -w 2 db 5432; do sleep 1; done"], ["db:5432"]),
    (["nc", "-zv", "db", "5432"], ["db:5432"]),
    (["--db-host", "db"], ["db"]),
    (["--upstream=http://api:8080"], ["api:8080"]),
    (["psql", "-h", "db", "-p", "5433"], ["db:5433"]),
    (["sh", "-c", "redis-cli -h cache ping && mysql -P 3307 -h my -psecret"], ["cache:6379", "my:3307"]),
    (["sh", "-c", "until nslookup web.shop; do sleep 1; done"], ["web.shop"]),
    (["sh", "-c", "curl -sf web:8080/ok || wget web.shop/x"], ["web:8080", "web.shop:80"]),
    (["bash", "-c", "cat < /dev/tcp/db/80"], ["db:80"]),
    (["nginx", "-g", "daemon off;"], []),
    (["--listen=web:80", "--config=/etc/app.yaml"], []),
    (["sh", "-c", "echo $(hostname) waits"], []),
    ([], []),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), LINES, ids=[" ".join(one[0]) for one in LINES])
def test_arguments(line: list[str], expected: list[str]) -> None:
    found = [one for _, _, one in arguments(line)]
    assert [f"{one.host}:{one.port}" if one.port else one.host for one in found] == expected


def test_files_are_read_without_their_comments() -> None:
    text = "# http://old:1\nproxy_pass http://api:8080/;\n  // http://no:2\nserver db.shop.svc.cluster.local:5432;\nserver other:90;\n"
    assert [(one.host, one.port) for one in written(text)] == [
        ("api", 8080),
        ("db.shop.svc.cluster.local", 5432),
    ]


def test_a_secret_is_read_where_it_may_speak_of_a_host() -> None:
    assert unveiled("URL", "aHR0cDovL3dlYg==") == "http://web"
    assert unveiled("TOKEN", "aHVudGVyMg==") == ""
    assert unveiled("DB_HOST", "ZGI=") == "db"
    assert unveiled("URL", "no base64") == ""


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("db", [("db", "shop", "")]),
        ("db.bank", [("db", "bank", ""), ("bank", "shop", "db")]),
        ("db.bank.svc", [("db", "bank", "")]),
        ("db-0.db.bank.svc.cluster.local", [("db", "bank", "db-0")]),
        ("db-0.db.bank", [("db", "bank", "db-0")]),
        ("_http._tcp.web.shop.svc", []),
        ("shop.svc.cluster.local", []),
        ("10.0.0.1", []),
        ("localhost", []),
        ("api.eu.example.com", []),
    ],
)
def test_what_a_host_may_stand_for(host: str, expected: list[tuple[str, str, str]]) -> None:
    assert [(one.service, one.namespace, one.pod) for one in named(host, "shop")] == expected


def test_names_of_hosts() -> None:
    assert all(hostly(one) for one in ("DB_HOST", "redis-addr", "smtp.server", "dbHost", "ENDPOINT"))
    assert not any(hostly(one) for one in ("HOSTING", "GHOST", "SERVER_NAME", "MODE"))
