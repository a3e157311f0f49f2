"""The options by which verbs that pull are told what must be signed, and where such demands lie about: the folders of trust.

`declare_options` adds them, `demands` reads them, `accept` is what a verb calls for each artifact before anything of it is unpacked.
Without options and without files in the folders nothing is demanded.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.faces.cli.lifecycle import places
from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    from fairlead.drivers.oci.references import Reference
    from fairlead.drivers.oci.stores import Store
    from fairlead.drivers.signatures.roots import Root
    from fairlead.drivers.signatures.verifying import Verified
    from fairlead.judge.signatures import AuthorityAsked
    from fairlead.reactor.verifying_demands import Demands

LARGEST = 4 << 20


def declare_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say by whom what is pulled must be signed."""
    group = parser.add_argument_group("signatures of what is pulled")
    more: dict[str, Any] = {"action": "append", "default": []}
    group.add_argument("--verify-key", metavar="PEM", help="it must be signed by this public key (repeatable: by one of them)", **more)  # fmt: skip
    group.add_argument("--verify-identity", metavar="WHO", help="it must be signed by this identity, with --verify-issuer: a mail address or URI (repeatable)", **more)  # fmt: skip
    group.add_argument("--verify-issuer", default="", metavar="URL", help="who vouches for the identity")
    group.add_argument("--verify-policy", metavar="FILE", help="ClusterImagePolicies that it must satisfy, besides those of the folders of trust (repeatable)", **more)  # fmt: skip
    trust_root_option(group)


def trust_root_option(parser: Any) -> None:
    """Add the trust root."""
    parser.add_argument(
        "--trust-root",
        default="",
        metavar="FILE",
        help="a trusted_root.json in place of sigstore's own, or `staging`",
    )


def read_text(path: str, what: str) -> str:
    """Return a file's text (`env://NAME`: a variable's). Raises Problem."""
    if path.startswith("env://"):
        found = os.environ.get(path.removeprefix("env://"))
        if found is None:
            raise Problem(f"{what}: there is no variable {path.removeprefix('env://')}", code=2)
        return found
    if "://" in path:
        scheme = path.partition(":")[0]
        raise Problem(f"{what} {path}: {scheme}:// is not supported; give a file, or env://NAME", code=2)
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(LARGEST + 1)
    except OSError as error:
        raise Problem(f"{what} {path}: {error.strerror}", code=2) from error
    except UnicodeDecodeError as error:
        raise Problem(f"{what} {path}: not text", code=2) from error
    if len(text) > LARGEST:
        raise Problem(f"{what} {path}: larger than {LARGEST >> 20} MiB", code=2)
    return text


def trust_root(args: argparse.Namespace) -> Root | None:
    """Return the trust root that is named, None for sigstore's own. Raises Problem."""
    from fairlead.drivers.signatures.faults import BadTrust
    from fairlead.drivers.signatures.roots import embedded, read_root

    if not args.trust_root:
        return None
    try:
        if args.trust_root in {"production", "staging"}:
            return embedded(args.trust_root)
        return read_root(read_text(args.trust_root, "--trust-root"), args.trust_root)
    except BadTrust as error:
        raise Problem(str(error), code=2) from error


def trust_folders(args: argparse.Namespace) -> list[Path]:
    """Return the folders of trust: the user's, and the platform's."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return [Path(home, "fairlead", "trust"), places(args).root / "trust"]


def policy_texts(args: argparse.Namespace) -> dict[str, str]:
    """Return the files of policies that are named or lie in the folders of trust. Raises Problem for one that cannot be read."""
    found = {name: read_text(name, "--verify-policy") for name in args.verify_policy}
    for folder in trust_folders(args):
        try:
            names = sorted(one for one in folder.iterdir() if one.suffix in {".yaml", ".yml", ".json"})
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise Problem(
                f"{folder}: {error.strerror}", "it says what must be signed: nothing is pulled without it"
            ) from error
        found |= {str(name): read_text(str(name), "the policy") for name in names}
    return found


def demands(args: argparse.Namespace) -> Demands:
    """Return what the options and the folders of trust demand. Raises Problem."""
    from fairlead.reactor.verifying_demands import BadDemand, Demands, read_policies

    if bool(args.verify_identity) != bool(args.verify_issuer):
        raise Problem("--verify-identity and --verify-issuer go together", "who vouches for an identity matters as much as its name", code=2)  # fmt: skip
    authorities: list[AuthorityAsked] = [
        {"name": path, "keys": [{"pem": read_text(path, "--verify-key"), "hash": ""}], "log": "check"}
        for path in args.verify_key
    ]
    authorities += [
        {"name": who, "identities": [{"subject": who, "issuer": args.verify_issuer}], "log": "require"}
        for who in args.verify_identity
    ]
    try:
        policies, roots = read_policies(policy_texts(args))
    except BadDemand as error:
        raise Problem(
            str(error), "it says what must be signed: nothing is pulled until it can be used", code=2
        ) from error
    return Demands(tuple(authorities), policies, roots, trust_root(args) if authorities or policies else None)


async def required(args: argparse.Namespace, store: Store, ref: Reference, digest: str) -> Verified | None:
    """Check one artifact against what is demanded; None where nothing is. Raises Problem for one that may not be used."""
    from datetime import UTC, datetime

    from fairlead.drivers.signatures.faults import Unverified
    from fairlead.reactor.verifying_demands import BadDemand, require

    wanted = demands(args)
    if not wanted:
        return None
    try:
        return await require(store, ref, digest, wanted, datetime.now(UTC))
    except Unverified as error:
        raise Problem(_reasons(str(error), ref, digest), _advice(str(error))) from error
    except BadDemand as error:
        raise Problem(str(error), code=2) from error


def _reasons(text: str, ref: Reference, digest: str) -> str:
    """Return why, with the artifact named once."""
    name = f"{ref.name}@{digest}"
    return f"{name}: {text.replace(f' for {name}', '').replace(f'{name}: ', '')}"


def _advice(text: str) -> str:
    """Return what whoever reads the reasons may do."""
    if "cosign's legacy layout, which alone" in text:
        more = "; a ClusterImagePolicy looks for sigstore bundles where its authority says signatureFormat: bundle"
    elif "not signed" in text:
        more = "; fairlead sign signs it, fairlead verify says by whom it is signed"
    else:
        more = ""
    return f"nothing of it was unpacked{more}"


def accept(args: argparse.Namespace) -> Callable[[Store, Reference, str], Awaitable[None]]:
    """Return what `open_source` of reactor/rendering_fetching.py calls for each artifact; it raises Mistaken."""
    from fairlead.render.packages import Mistake, Mistaken
    from fairlead.words import Where

    async def check(store: Store, ref: Reference, digest: str) -> None:
        try:
            await required(args, store, ref, digest)
        except Problem as problem:
            text = str(problem).removeprefix(f"{ref.name}@{digest}: ")
            raise Mistaken(Mistake(text, Where(ref.url), hint=problem.hint)) from problem

    return check
