"""`fairlead registry login|logout`: logins for registries, kept where Docker and Podman keep theirs."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from fairlead.faces.cli.problems import Problem
from fairlead.faces.cli.shipping import RAW, credentials, reached, run, store_options

if TYPE_CHECKING:
    from fairlead.faces.cli.shipping import Verbs

EXAMPLES = """\
examples:
  echo $TOKEN | fairlead registry login ghcr.io -u me --password-stdin
  fairlead registry login registry.example.com:5000 -u me      asks for the password
  fairlead registry logout ghcr.io

Logins are kept in $REGISTRY_AUTH_FILE, or in config.json of $DOCKER_CONFIG or ~/.docker, or by the credential program that
it names, so that other tools see them too. The registry of `fairlead up` on this machine needs no login.
"""


def declare(verbs: Verbs) -> None:
    """Add the verb and its actions to the command line."""
    registry = verbs.add_parser(
        "registry", help="log in to registries and out", epilog=EXAMPLES, formatter_class=RAW
    )
    actions = registry.add_subparsers(title="actions", metavar="ACTION", required=True)

    login = actions.add_parser(
        "login", help="keep a login for a registry", epilog=EXAMPLES, formatter_class=RAW
    )
    login.add_argument("host", metavar="HOST", help="the registry's host, with its port where it has one")
    login.add_argument("-u", "--username", default="", help="the user's name; asked for on a terminal")
    login.add_argument(
        "--password-stdin", action="store_true", help="read the password or token from standard input"
    )
    login.add_argument(
        "--identity-token", action="store_true", help="what is read is an identity token, not a password"
    )
    login.add_argument(
        "--no-check", action="store_true", help="do not ask the registry whether the login is right"
    )
    store_options(login)
    login.set_defaults(run=run_login)

    logout = actions.add_parser("logout", help="forget a login")
    logout.add_argument("host", metavar="HOST")
    store_options(logout)
    logout.set_defaults(run=run_logout)


def _secret(args: argparse.Namespace) -> str:
    if args.password_stdin:
        secret = sys.stdin.read(1 << 20).rstrip("\r\n")
    elif sys.stdin.isatty():
        import getpass

        secret = getpass.getpass("password or token: ")
    else:
        raise Problem(
            "there is no terminal to ask for the password", "hand it in with --password-stdin", code=2
        )
    if not secret:
        raise Problem("the password is empty", code=2)
    return secret


def run_login(args: argparse.Namespace) -> int:
    """Ask the registry whether the login is right, then keep it."""
    from fairlead.drivers.oci.credentials import Credentials, Login, normal_host

    host = normal_host(args.host)
    name = args.username
    if not name and not args.identity_token:
        if args.password_stdin or not sys.stdin.isatty():
            raise Problem("a login has a user", "name one with -u", code=2)
        name = input("user: ").strip()
    secret = _secret(args)
    login = Login(identity_token=secret) if args.identity_token else Login(name, secret)

    async def work() -> str:
        from fairlead.drivers.oci.clients import Client

        if not args.no_check:
            async with reached(args, f"oci://{host}/any", fixed={host: login}) as (place,):
                assert isinstance(place.store, Client)
                await place.store.ping(host)
        return await Credentials().store(host, login)

    print(f"logged in to {host}; the login is kept in {run(work())}")
    return 0


def run_logout(args: argparse.Namespace) -> int:
    """Forget a login; none to forget is an error."""
    from fairlead.drivers.oci.credentials import normal_host

    host = normal_host(args.host)
    if not run(credentials(args).erase(host)):
        raise Problem(f"there is no login for {host}")
    print(f"logged out of {host}")
    return 0
