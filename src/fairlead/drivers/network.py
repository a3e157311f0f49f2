"""The machine's packet filter, through iptables-save and iptables-restore, and the switches beside it.

Carries out texts that orchestrate/routing.py made; must never add a rule of its own, nor touch a chain that is not
ours.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BRIDGED: Final = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
_SECONDS: Final = 30


class FilterUnavailable(Exception):
    """There is no working packet filter; the text says what is missing."""


def _run(program: str, *arguments: str, text: str = "") -> str:
    found = shutil.which(program, path=_PATH)
    if found is None:
        raise FilterUnavailable(
            f"{program} is missing, so Services have no addresses that work: apt-get install iptables"
        )
    try:
        done = subprocess.run(
            [found, *arguments], input=text, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FilterUnavailable(f"{program}: {error}") from error
    if done.returncode != 0:
        raise FilterUnavailable(f"{program}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout


def saved() -> str:
    """Return what iptables-save prints of the tables that we have rules in. Raises FilterUnavailable."""
    return _run("iptables-save", "-t", "nat") + _run("iptables-save", "-t", "filter")


def restore(text: str) -> None:
    """Apply a text, each of its tables as a whole or not at all; chains that it does not name stay. Raises FilterUnavailable."""
    if text:
        _run("iptables-restore", "--noflush", "-w", "10", text=text)


def bridged() -> bool:
    """Tell whether the packet filter sees what crosses a bridge (br_netfilter)."""
    try:
        return _BRIDGED.read_text().strip() == "1"
    except OSError:
        return False


def open_loopback(bridge: str) -> bool:
    """Let the bridge carry answers from loopback addresses, which node ports and the API use; False if it is not there."""
    try:
        Path(f"/proc/sys/net/ipv4/conf/{bridge}/route_localnet").write_text("1\n")
    except OSError:
        return False
    return True
