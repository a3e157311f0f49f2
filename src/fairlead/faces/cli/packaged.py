"""Packages where manifests are taken: the options of `diagnose`, `fix` and `judge` about them, and what the named paths hold.

A path may be a chart, a module, an archive or an address in a registry, or a folder that has some of them among manifests. What they render
is looked at, and their own files (templates, values) are not taken for manifests.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    from fairlead.reactor.rendering import Source
    from fairlead.reactor.unwrapping import Found, Unwrapped
    from fairlead.render.packages import Capabilities, Layer

PACKAGES = """\
packages: where a path is, or holds, a Helm chart (folder or .tgz), a module (of fairlead's or Timoni's) or a Kustomize
  tree, what it renders is looked at, hooks and tests included; oci://host/repository:tag may be named too. Charts and
  modules are rendered as instances with their own names in the namespace of -n (default: default), without a
  cluster to look things up in; sub-charts only with the chart that they are in, and bases only with the overlays that
  use them, if there are any. One that cannot be rendered (it wants values, or is wrong) is a warning with its
  place, and the rest is looked at all the same. Findings name the template or the line of the module.
"""


@dataclass(slots=True)
class Given:
    """What paths hold: manifests by name (text), and the packages among them, rendered unless that was not wanted."""

    texts: dict[str, str] = field(default_factory=dict)
    packages: Unwrapped | None = None


def package_options(parser: argparse.ArgumentParser, *, short: bool = True) -> None:
    """Add how packages are rendered. `short`: --values and --set mean packages; otherwise only --package-values and --package-set do."""
    group = parser.add_argument_group("packages")
    more: dict[str, Any] = {"action": "append", "default": []}
    values = ("--values", "--package-values") if short else ("--package-values",)
    group.add_argument(
        *values,
        dest="package_values",
        metavar="FILE",
        help="a file of values for the package that is named (repeatable, later ones win)",
        **more,
    )
    sets = ("--set", "--package-set") if short else ("--package-set",)
    group.add_argument(
        *sets, dest="package_sets", metavar="NAME=VALUE", help="one value for it: a.b=c (repeatable)", **more
    )
    group.add_argument(
        "--allow-fetch",
        action="store_true",
        help="fetch dependencies that a package does not hold from their registries",
    )
    group.add_argument(
        "--no-render",
        action="store_true",
        help="render nothing: look at the files as they are, without what is in charts and modules, and at bases and overlays each by itself",
    )


def given(args: argparse.Namespace, paths: list[str], revision: str = "", *, valued: bool = True) -> Given:
    """Return what paths hold. Not to be called in a loop: registries are asked. `valued`: the options' values are for these. Raises Problem."""
    texts, found = look(args, paths, revision)
    return rendered(args, texts, found, valued=valued)


def look(
    args: argparse.Namespace, paths: list[str], revision: str = ""
) -> tuple[dict[str, str], list[Found]]:
    """Return the texts that paths hold and the packages, which are not rendered yet. Not to be called in a loop. Raises Problem."""
    from fairlead.faces.cli import diagnose
    from fairlead.reactor.trees import is_kustomization

    named = [name for name in paths if _is_package(name)]
    rest = [
        str(Path(name).parent) if is_kustomization(name) and Path(name).is_file() else name
        for name in paths
        if name not in named
    ]
    found: list[Found] = []
    texts: dict[str, str] = {}
    for name in named:
        one, more = _loaded(name, args)
        found += [one] if one is not None else []
        texts.update(more)
    found += _among(rest, revision)
    texts.update(diagnose.texts_of(rest, revision))
    if not texts and not found:
        raise diagnose.no_manifests(paths)
    return texts, found


def rendered(
    args: argparse.Namespace,
    texts: dict[str, str],
    found: list[Found],
    *,
    capabilities: Capabilities | None = None,
    namespace: str = "",
    valued: bool = True,
) -> Given:
    """Render what `look` found, unless that is not wanted; `namespace` is for where -n names none. Not to be called in a loop. Raises Problem."""
    from fairlead.faces.cli import sources
    from fairlead.reactor.unwrapping import Giving, unrendered, unwrap

    layers = _layers(args, found) if valued else ()
    if getattr(args, "no_render", False):
        return Given(texts, unrendered(found))
    namespace = getattr(args, "namespace", "") or namespace
    giving = Giving(layers, namespace, capabilities, sources.fetching(args))
    return Given(texts, unwrap(found, giving))


def _is_package(name: str) -> bool:
    """Return whether a path names a package that is no folder: an archive, or one in a registry."""
    from fairlead.reactor.rendering_fetching import is_remote

    if name == "-":
        return False
    if is_remote(name):
        return True
    try:
        with Path(name).open("rb") as file:
            return file.read(2) == b"\x1f\x8b"
    except (OSError, ValueError):
        return False  # a folder, or nothing: who reads it says so


def _loaded(name: str, args: argparse.Namespace) -> tuple[Found | None, dict[str, str]]:
    from fairlead.faces.cli import sources
    from fairlead.reactor.unwrapping import of_source
    from fairlead.render.packages import Mistaken

    try:
        return of_source(sources.load(name, args))
    except Mistaken as mistaken:
        raise sources.problem(mistaken) from mistaken


def _among(paths: list[str], revision: str) -> list[Found]:
    from fairlead.reactor.unwrapping import DESCRIBES, find

    found: list[Found] = []
    for name in paths:
        if name == "-":
            continue
        if revision:
            found += _of_revision(name, revision)
            continue
        path = Path(name)
        if path.name in DESCRIBES.values() and path.is_file():
            path = path.parent
        try:
            found += find(path) if path.is_dir() else ()
        except OSError as error:
            raise Problem(f"cannot read {error.filename or name}: {error.strerror}", code=2) from error
    return list({one.prefix: one for one in found}.values())


def _of_revision(name: str, revision: str) -> list[Found]:
    """Return the packages that Git has below a folder in a revision."""
    from fairlead.faces.cli.diagnose import in_revision
    from fairlead.reactor.unwrapping import among

    with in_revision(name, revision) as (repository, commit, under):
        names = repository.names(commit, under)

        def loaded(folder: str) -> Source:
            from fairlead.reactor.rendering_loading import bounded, of_files

            lead = f"{folder}/" if folder else ""
            files = {}
            with in_revision(name, revision) as (repository, commit, _):
                for one in names:
                    if one.startswith(lead):
                        files[one.removeprefix(lead)] = repository.body(commit, one)
            bounded(files, folder)
            return of_files(files, f"{revision}:{folder}")

        return list(among(names, loaded, f"{revision}:"))


def _layers(args: argparse.Namespace, found: list[Found]) -> tuple[Layer, ...]:
    """Return the values of the options, which are for one package. Raises Problem where it is not clear which."""
    from fairlead.faces.cli import sources

    values, sets = getattr(args, "package_values", []), getattr(args, "package_sets", [])
    if not values and not sets:
        return ()
    if len(found) != 1:
        listed = ", ".join(one.file for one in found[:4])
        raise Problem(
            f"values are for one package, and there are {len(found)}: {listed}"
            if found
            else "values are for a chart or module, and there is none",
            "name the folder of the one that they are for",
            code=2,
        )
    return tuple(
        sources.layers(
            argparse.Namespace(
                values=values, sets=sets, set_json=[], set_string=[], set_file=[], substitute=False
            )
        )
    )
