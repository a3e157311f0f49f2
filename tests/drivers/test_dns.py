from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.drivers import dns

QUESTION = bytes.fromhex("abcd01000001000000000000") + b"\3WWW\7example\3org\0" + bytes.fromhex("00010001")
EDNS = (
    bytes.fromhex("abcd01000001000000000001") + QUESTION[12:] + b"\0" + struct.pack("!HHIH", 41, 4096, 0, 0)
)


def test_a_question_is_read() -> None:
    query = dns.parse(QUESTION)
    assert (query.id, query.name, query.type, query.klass, query.recursion) == (
        0xABCD,
        "WWW.example.org",
        1,
        1,
        True,
    )
    assert (query.size, query.extended) == (512, False)
    assert (dns.parse(EDNS).size, dns.parse(EDNS).extended) == (1232, True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        QUESTION[:20],
        QUESTION[:-2],
        QUESTION[:2] + b"\x81\x00" + QUESTION[4:],
        QUESTION[:5] + b"\2" + QUESTION[6:],
        QUESTION[:12] + b"\xc0\x0c" + QUESTION[-4:],
        QUESTION[:12] + b"\x80" + QUESTION[-4:],
    ],
)
def test_what_is_no_question_is_refused(data: bytes) -> None:
    with pytest.raises(dns.BadMessage):
        dns.parse(data)


@given(st.binary(max_size=100) | st.binary(max_size=60).map(lambda data: QUESTION[:12] + data))
def test_no_bytes_do_harm(data: bytes) -> None:
    for read in (dns.parse, dns.addresses):
        try:
            read(data)
        except dns.BadMessage:
            continue


def test_an_answer_is_what_the_format_says() -> None:
    rows = [("www.example.org", "A", "192.0.2.7", 5)]
    message = dns.respond(dns.parse(QUESTION), dns.NO_ERROR, rows)
    record = b"\3www\7example\3org\0" + bytes.fromhex("0001000100000005 0004 c0000207")
    assert message == bytes.fromhex("abcd85800001000100000000") + QUESTION[12:] + record
    assert dns.addresses(message) == rows
    extended = dns.respond(dns.parse(EDNS), dns.NO_NAME)
    assert extended.endswith(b"\0\x00\x29" + struct.pack("!H", 1232) + bytes(6))
    assert extended[3] & 15 == dns.NO_NAME


@pytest.mark.parametrize(
    ("kind", "value", "data"),
    [
        ("A", "192.0.2.1", "c0000201"),
        ("AAAA", "::1", "0" * 31 + "1"),
        ("CNAME", "a.b", "0161016200"),
        ("PTR", "a.b", "0161016200"),
        ("TXT", "1.1.0", "05312e312e30"),
        ("SRV", "0 100 80 a.b", "0000006400500161016200"),
        ("SOA", "a.b c.d 1 2 3 4 5", "0161016200" + "0163016400" + "".join(f"{n:08x}" for n in range(1, 6))),
    ],
)
def test_values(kind: str, value: str, data: str) -> None:
    message = dns.respond(dns.parse(QUESTION), 0, [("x", kind, value, 1)])
    assert message.endswith(bytes.fromhex(data))


def test_what_does_not_fit_is_cut_and_says_so() -> None:
    rows = [("www.example.org", "A", f"192.0.2.{n}", 5) for n in range(100)]
    message = dns.respond(dns.parse(QUESTION), 0, rows, size=512)
    assert len(message) <= 512
    assert dns.was_cut(message)
    assert struct.unpack_from("!H", message, 6) == (0,)
    whole = dns.respond(dns.parse(QUESTION), 0, rows)
    assert not dns.was_cut(whole)
    assert len(dns.addresses(whole)) == 100
    without_extras = dns.respond(dns.parse(QUESTION), 0, rows[:5], (), rows, size=512)
    assert not dns.was_cut(without_extras)
    assert len(dns.addresses(without_extras)) == 5


@pytest.mark.parametrize("name", ["a..b", "a" * 64 + ".org", ".".join(["abcdefgh"] * 40)])
def test_names_that_cannot_be_sent(name: str) -> None:
    with pytest.raises(dns.BadMessage):
        dns.encode_name(name)


def test_whom_to_ask(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(
        "# nameserver 9.9.9.9\nsearch x\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver 10.0.0.2\n"
    )
    assert dns.resolvers(path, without=["10.0.0.2"]) == ["10.0.0.1", "fe80::1"]
    assert dns.resolvers(tmp_path / "none") == []
