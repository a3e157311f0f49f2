"""Kernel functions about sockets and packets, and where their calls are seen without kprobes. A table; `places.py` says how to read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fairlead.dialects.tracingpolicy.places import Row, no, row, spots

_AFTER = "told at the call's return, with what the call returned"
_STATE = "told by sock:inet_sock_set_state"
_OTHER = "where the network causes it, the process is the one that was interrupted"
_SENDING = "sendto sendmsg sendmmsg write writev"
_RECEIVING = "recvfrom recvmsg recvmmsg read readv"
_TYPE = "arg1/15"  # without SOCK_CLOEXEC and SOCK_NONBLOCK, which the kernel takes off first
_PACKETS = "packets that the kernel sends by itself"

_connect = row(
    spots("sock_state", "0=sock", "arg0==7 arg1==2", "=0"),
    differs=f"{_STATE}, from CLOSE to SYN_SENT",
    lost="the local port, which is not chosen yet",
)
_close = row(
    spots("sock_state", "0=sock", "arg1==7"),
    differs=f"{_STATE}, to CLOSE; {_OTHER}",
    lost="sockets that were never connected",
)
_destroyed = row(
    spots("sock_state", "0=sock", "arg1==7"),
    differs=f"{_STATE}, to CLOSE; {_OTHER}",
    lost="sockets other than TCP's",
)


def _sent(sock: int, packet: int, only: str = "") -> Row:
    return row(
        spots(_SENDING, f"{sock}=sock {packet}=sock", "ret>=0 family!=0", only=only),
        differs="told at the return of the calls that send, once a call and not once a packet",
        lost=_PACKETS,
    )


def _to(names: str, sources: str, when: str = "") -> Row:
    return row(spots(names, sources, when, "verdict"), differs=_AFTER)


NETWORK: Final[Mapping[str, Row]] = {
    "tcp_connect": _connect,
    "tcp_v4_connect": row(
        spots("sock_state", "0=sock 1=sock", "arg0==7 arg1==2 family==2", "=0"),
        differs=f"{_STATE}, from CLOSE to SYN_SENT",
        lost="connections that fail at once",
    ),
    "tcp_v6_connect": row(
        spots("sock_state", "0=sock 1=sock", "arg0==7 arg1==2 family==10", "=0"),
        differs=f"{_STATE}, from CLOSE to SYN_SENT",
        lost="connections that fail at once",
    ),
    "tcp_finish_connect": row(
        spots("sock_state", "0=sock", "arg1==1"), differs=f"{_STATE}, to ESTABLISHED; {_OTHER}"
    ),
    "tcp_close": _close,
    "__tcp_close": _close,
    "tcp_set_state": row(spots("sock_state", "0=sock 1=arg1"), differs=f"{_STATE}; {_OTHER}"),
    "tcp_done": _close,
    "tcp_v4_destroy_sock": _destroyed,
    "inet_sock_destruct": _destroyed,
    "__sk_free": _destroyed,
    "sk_free": _destroyed,
    "sk_destruct": _destroyed,
    "tcp_sendmsg": row(
        spots("sock_send", "0=sock 2=arg0", "proto==6", "ret"),
        differs="told by sock:sock_send_length, when it has been sent",
        lost="the message itself",
    ),
    "tcp_sendmsg_locked": row(
        spots("sock_send", "0=sock 2=arg0", "proto==6", "ret"),
        differs="told by sock:sock_send_length",
        lost="the message itself",
    ),
    "tcp_recvmsg": row(
        spots("recvfrom read", "0=sock 2=arg2", "proto==6", "ret"),
        spots("recvmsg readv", "0=sock", "proto==6", "ret"),
        differs=_AFTER,
        lost="reads by splice",
    ),
    "udp_sendmsg": row(
        spots("sendto write", "0=sock 2=arg2", "proto==17 family==2", "ret"),
        spots("sendmsg sendmmsg writev", "0=sock", "proto==17 family==2", "ret"),
        differs=_AFTER,
    ),
    "udpv6_sendmsg": row(
        spots("sendto write", "0=sock 2=arg2", "proto==17 family==10", "ret"),
        spots("sendmsg sendmmsg writev", "0=sock", "proto==17 family==10", "ret"),
        differs=_AFTER,
    ),
    "udp_recvmsg": row(
        spots("recvfrom read", "0=sock 2=arg2", "proto==17", "ret"),
        spots("recvmsg recvmmsg readv", "0=sock", "proto==17", "ret"),
        differs=_AFTER,
        lost="who sent it, where the socket is not connected",
    ),
    "inet_csk_listen_start": row(
        spots("sock_state", "0=sock", "arg1==10", "=0"), differs=f"{_STATE}, to LISTEN"
    ),
    "inet_listen": _to("listen", "0=sock 1=arg1"),
    "security_socket_listen": _to("listen", "0=sock 1=arg1"),
    "inet_csk_accept": row(
        spots("accept accept4", "", "ret>=0", "sock"), differs=_AFTER, lost="the listening socket"
    ),
    "inet_accept": row(
        spots("accept accept4", "1=sock", "ret>=0", "=0"), differs=_AFTER, lost="the listening socket"
    ),
    "security_socket_accept": row(
        spots("accept accept4", "1=sock", "ret>=0", "=0"),
        differs=_AFTER,
        lost="the listening socket; attempts that fail",
    ),
    "inet_bind": _to("bind", "0=sock 1=local 2=arg2"),
    "inet6_bind": _to("bind", "0=sock 1=local 2=arg2"),
    "__inet_bind": _to("bind", "0=sock 1=local 2=arg2"),
    "security_socket_bind": _to("bind", "0=sock 1=local 2=arg2"),
    "security_socket_connect": _to("connect", "0=sock 1=sock 2=arg2"),
    "__sys_connect": row(spots("connect", "0=arg0 1=sock 2=arg2", returned="ret"), differs=_AFTER),
    "__sys_connect_file": row(spots("connect", "0=place 1=sock 2=arg2", returned="ret"), differs=_AFTER),
    "inet_stream_connect": row(spots("connect", "0=sock 1=sock 2=arg2", "type==1", "ret"), differs=_AFTER),
    "__inet_stream_connect": row(spots("connect", "0=sock 1=sock 2=arg2", "type==1", "ret"), differs=_AFTER),
    "inet_dgram_connect": row(spots("connect", "0=sock 1=sock 2=arg2", "type==2", "ret"), differs=_AFTER),
    "unix_stream_connect": row(spots("connect", "0=sock 1=sock 2=arg2", "family==1", "ret"), differs=_AFTER),
    "security_unix_stream_connect": row(
        spots("connect", "0=sock", "family==1", "verdict"), differs=_AFTER, lost="the other end's socket"
    ),
    "security_socket_create": _to("socket", f"0=arg0 1={_TYPE} 2=arg2 3==0"),
    "security_socket_post_create": _to("socket", f"0=sock 1=arg0 2={_TYPE} 3=arg2 4==0", "ret>=0"),
    "__sock_create": row(
        spots("socket", f"1=arg0 2={_TYPE} 3=arg2", returned="ret"),
        differs=_AFTER,
        lost="sockets of the kernel",
    ),
    "sock_create": row(spots("socket", f"0=arg0 1={_TYPE} 2=arg2", returned="ret"), differs=_AFTER),
    "inet_create": row(spots("socket", "1=sock 2=arg2 3==0", "arg0==2", "ret"), differs=_AFTER),
    "inet6_create": row(spots("socket", "1=sock 2=arg2 3==0", "arg0==10", "ret"), differs=_AFTER),
    "sk_alloc": row(
        spots("socket", "1=arg0", "ret>=0", "sock"),
        differs="told at the return of socket",
        lost="sockets that accept and the kernel make",
    ),
    "security_socket_socketpair": row(
        spots("socketpair", returned="verdict"), differs=_AFTER, lost="both sockets"
    ),
    "security_socket_sendmsg": row(
        spots("sendto write", "0=sock 2=arg2", "family!=0", "verdict"),
        spots("sendmsg sendmmsg writev", "0=sock", "family!=0", "verdict"),
        differs=_AFTER,
    ),
    "sock_sendmsg": row(
        spots(_SENDING, "0=sock", "family!=0", "ret"), differs=_AFTER, lost="sendfile and splice"
    ),
    "security_socket_recvmsg": row(
        spots("recvfrom", "0=sock 2=arg2 3=arg3", returned="verdict"),
        spots("read", "0=sock 2=arg2 3==0", "family!=0", "verdict"),
        spots("recvmsg recvmmsg readv", "0=sock", "family!=0", "verdict"),
        differs=_AFTER,
    ),
    "security_socket_shutdown": _to("shutdown", "0=sock 1=arg1"),
    "security_socket_setsockopt": _to("setsockopt", "0=sock 1=arg1 2=arg2"),
    "security_socket_getsockopt": _to("getsockopt", "0=sock 1=arg1 2=arg2"),
    "security_socket_getsockname": _to("getsockname", "0=sock"),
    "security_socket_getpeername": _to("getpeername", "0=sock"),
    "ip_output": _sent(1, 2, "v4"),
    "ip_mc_output": _sent(1, 2, "multicast"),
    "ip6_output": _sent(1, 2, "v6"),
    "ip_local_out": _sent(1, 2, "v4"),
    "__ip_local_out": _sent(1, 2, "v4"),
    "ip_send_skb": row(
        spots(_SENDING, "1=sock", "ret>=0 family!=0", only="v4"),
        differs="told at the return of the calls that send",
        lost=_PACKETS,
    ),
    "__cgroup_bpf_run_filter_skb": row(
        spots(_SENDING, "0=sock 1=sock 2==1", "ret>=0 family!=0"),
        differs="told at the return of the calls that send, once a call and not once a packet",
        lost=f"{_PACKETS}; packets that arrive",
    ),
    "sk_filter_trim_cap": row(
        spots(_RECEIVING, "0=sock 1=peer", "ret>=0 family!=0"),
        differs="told at the return of the calls that receive",
        lost="packets that nobody receives; who sent it, where the socket is not connected",
    ),
    "kfree_skb_reason": row(spots("skb_drop", "0=sock 1=arg0"), differs=f"told by skb:kfree_skb; {_OTHER}"),
    "sk_skb_reason_drop": row(
        spots("skb_drop", "0=sock 1=sock 2=arg0"), differs=f"told by skb:kfree_skb; {_OTHER}"
    ),
    "kfree_skb": row(spots("skb_drop", "0=sock"), differs=f"told by skb:kfree_skb; {_OTHER}"),
    "__kfree_skb": row(
        spots("skb_drop", "0=sock"),
        differs=f"told by skb:kfree_skb; {_OTHER}",
        lost="packets that are freed after use",
    ),
    "ip_rcv": no("packets that arrive are told by no tracepoint that this sensor carries"),
    "tcp_v4_rcv": no("packets that arrive are told by no tracepoint that this sensor carries"),
    "udp_rcv": no("packets that arrive are told by no tracepoint that this sensor carries"),
    "tcp_rcv_established": no("packets that arrive are told by no tracepoint that this sensor carries"),
    "security_sock_rcv_skb": no("packets that arrive are told by no tracepoint that this sensor carries"),
    "nf_hook_slow": no("packets in the packet filter are told by no tracepoint that this sensor carries"),
}
"""Function -> where it is seen."""
