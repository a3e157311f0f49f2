"""`fairlead mcp`: the diagnosis for assistants, over the Model Context Protocol.

Exit code 0 when it was ended, 2 when it could not start.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.faces.cli import diagnose
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

EXAMPLES = """\
examples:
  fairlead mcp                              over standard input and output, for an assistant that starts it
  fairlead mcp --context staging            any cluster of your kubeconfig
  fairlead mcp --http 127.0.0.1:8765        over HTTP; every request needs the token that it names
  fairlead mcp --allow-apply                an assistant may also carry out proven fixes, and take them back

in a client's configuration:
  {"mcpServers": {"fairlead": {"command": "fairlead", "args": ["mcp"]}}}
"""
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "mcp",
        help="serve the diagnosis to assistants (Model Context Protocol)",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--allow-apply", action="store_true", help="offer tools that carry out proven fixes")
    parser.add_argument(
        "--timeout",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="how long an applied fix is watched (default: 120)",
    )
    http = parser.add_argument_group("over HTTP instead of standard input and output")
    http.add_argument(
        "--http", default="", metavar="[HOST:]PORT", help="listen there (host: 127.0.0.1; port 0: a free one)"
    )
    http.add_argument(
        "--token-file",
        type=Path,
        default=None,
        metavar="F",
        help="the token that clients send; made if it is not there",
    )
    http.add_argument(
        "--tls-cert", type=Path, default=None, metavar="F", help="a certificate; beyond loopback it is needed"
    )
    http.add_argument("--tls-key", type=Path, default=None, metavar="F", help="its key")
    http.add_argument(
        "--host-name",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name that clients call it by",
    )
    diagnose.cluster_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until the other side ends it."""
    try:
        import mcp  # noqa: F401  an optional extra
    except ModuleNotFoundError as error:
        raise Problem(
            "the Model Context Protocol is an extra that is not installed",
            "pip install 'fairlead[mcp]'",
            code=2,
        ) from error
    from fairlead.faces.mcp import tools
    from fairlead.reactor import healings

    kubeconfig = diagnose.kubeconfig(args)
    desk = tools.Desk(lambda: diagnose.connect(args), diagnose.now, healings.folder(kubeconfig), args.timeout)
    server = tools.server(desk, allow_apply=args.allow_apply)
    if args.http:
        return _http(server, kubeconfig, args)
    asyncio.run(server.run_stdio_async())
    return 0


def _http(server: Any, kubeconfig: Path, args: argparse.Namespace) -> int:
    from fairlead.drivers.serving import ListenError, listen
    from fairlead.faces.mcp import serving
    from fairlead.reactor import healings

    host, _, port = args.http.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdigit():
        raise Problem(f"--http {args.http} names no port", "like --http 127.0.0.1:8765", code=2)
    if bool(args.tls_cert) != bool(args.tls_key):
        raise Problem("a certificate and its key come together", "--tls-cert F --tls-key F", code=2)
    if host not in _LOOPBACK and not args.tls_cert:
        raise Problem(
            f"{host} is not this machine alone: that wants TLS", "add --tls-cert and --tls-key", code=2
        )
    path = args.token_file or healings.folder(kubeconfig).parent / "mcp.token"
    try:
        wanted = serving.token(path, lambda said: print(f"fairlead: {said}", file=sys.stderr))
        _check(args.tls_cert, args.tls_key)
        listener = listen(host, int(port))
    except (OSError, OverflowError, ValueError, ListenError) as error:
        raise Problem(str(error), code=2) from error
    scheme = "https" if args.tls_cert else "http"
    shown = f"[{host}]" if ":" in host else host
    print(f"listening on {scheme}://{shown}:{listener.getsockname()[1]}{serving.PATH}", file=sys.stderr)
    print(f"clients send the token in {path}: Authorization: Bearer ...", file=sys.stderr, flush=True)
    asyncio.run(
        serving.over_http(
            server, listener, wanted, names=tuple(args.host_name), certificate=args.tls_cert, key=args.tls_key,
        )
    )  # fmt: skip
    return 0


def _check(certificate: Path | None, key: Path | None) -> None:
    """Raise ValueError where a certificate and its key cannot be used, before anybody is told where to ask."""
    if certificate is None or key is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except OSError as error:
        said = error.strerror or str(error)
        raise ValueError(f"{certificate} and {key} are no certificate with its key: {said}") from error
