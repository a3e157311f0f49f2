"""`fairlead render`: what a package comes to with these values, whatever it is written in: objects, as YAML or JSON.

Writes nothing to a cluster, and reads one only when --diff asks for it. Objects go to standard output, everything else to standard error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.faces.cli import sources
from fairlead.faces.cli.problems import Problem
from fairlead.render.packages import Mistaken

if TYPE_CHECKING:
    from fairlead.reactor.rendering import Source
    from fairlead.render.packages import Rendered, Stage
    from fairlead.words import Resource

    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001  argparse gives it no public name

EXAMPLES = f"""\
examples:
  fairlead render ./shop                              the objects of a module, a chart, a Kustomize tree or manifests
  fairlead render ./shop -f prod.yaml --set web.replicas=5
  fairlead render ./shop | kubectl apply -f -
  fairlead render oci://ghcr.io/team/shop:1.2.3 --name shop -n prod
  fairlead render ./shop -o table                     what there is, in short
  fairlead render ./shop --stage database -o json
  fairlead render ./shop --show images                the images that would run; also: values, notes, stages
  fairlead render ./shop --diff                       what applying it would change on the cluster
  fairlead render ./shop --diff revision:3            how it differs from the third revision of the instance
  fairlead render app.yaml --set region=eu            ${{region}} in manifests, when values are given
  fairlead render ./shop --output-dir out             a file for each object

{sources.SOURCES}
exit codes: 0 rendered (with --diff: no difference); 1 the package or its values are wrong, or there are differences; 2 the command is wrong
"""
SHOW = ("objects", "values", "images", "notes", "stages")


def declare(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "render",
        help="print the objects of a package: modules, Timoni, Helm, Kustomize, manifests",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sources.source_argument(parser)
    sources.values_options(parser)
    sources.context_options(parser)
    parser.add_argument("-o", "--output", choices=("yaml", "json", "name", "table"), default="yaml", help="how objects are printed (default: yaml)")  # fmt: skip
    parser.add_argument("--output-dir", metavar="DIR", default="", help="write a file for each object into this folder, and print their names")  # fmt: skip
    parser.add_argument("--stage", metavar="NAME", default="", help="only the objects of this stage")
    parser.add_argument("--show", choices=SHOW, default="objects", help="print something else of the package: its values (with secrets), images, notes or stages")  # fmt: skip
    parser.add_argument("--include-hooks", "--hooks", action="store_true", help="also what is run once and then gone: hooks and jobs before and after")  # fmt: skip
    parser.add_argument("--include-tests", "--tests", action="store_true", help="also the package's tests")
    sources.substitution_options(parser)
    sources.registry_options(parser)
    parser.add_argument("--diff", metavar="cluster|revision[:N]", nargs="?", const="cluster", default="", help="print how the objects differ from the cluster's, or from a revision's (default: cluster)")  # fmt: skip
    sources.capability_options(parser)
    group = parser.add_argument_group("which cluster (for --diff)")
    group.add_argument("--kubeconfig", type=Path, default=None, metavar="F", help="a kubeconfig file")
    group.add_argument("--context", default="", metavar="NAME", help="a context of the kubeconfig")
    group.add_argument(
        "--data-dir", type=Path, default=None, metavar="D", help="the cluster of `fairlead up --data-dir D`"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Render and print; mistakes are told with their places."""
    source: Source | None = None
    try:
        given = sources.layers(args)
        try:
            source = sources.load(args.source, args)
        except Mistaken as mistaken:
            sources.say(mistaken)
            return 2
        from fairlead.reactor.rendering import render_source

        rendered = render_source(source, given, sources.context(args, source), fetch=sources.fetching(args))
    except Mistaken as mistaken:
        sources.say(mistaken, source)
        return 1
    tell(rendered)
    if args.diff:
        return _diff(args, source, rendered)
    chosen = stages(rendered, args.stage, hooks=args.include_hooks, tests=args.include_tests)
    if args.show != "objects":
        return _show(args.show, rendered, chosen, args.output)
    if args.output_dir:
        return _write(chosen, args.output_dir, args.output)
    sys.stdout.write(text_of(chosen, args.output))
    return 0


def tell(rendered: Rendered) -> None:
    """Print what there is to say about the package besides its objects."""
    from fairlead.diagnose.hiding import visible

    for finding in rendered.findings:
        where = f"{finding.where}: " if finding.where.file else ""
        print(visible(f"{finding.severity.value}: {where}{finding.message}"), file=sys.stderr)


def stages(rendered: Rendered, name: str = "", *, hooks: bool = False, tests: bool = False) -> list[Stage]:
    """Return the stages that are wanted: those whose objects stay, all of a name, or hooks and tests too. Raises Problem."""
    if name:
        found = [stage for stage in rendered.stages if stage.name == name]
        if not found:
            there = ", ".join(dict.fromkeys(stage.name for stage in rendered.stages)) or "none"
            raise Problem(f'there is no stage "{name}"', f"the stages are: {there}", code=2)
        return found
    return [
        stage
        for stage in rendered.stages
        if (stage.moments == {"test"} and tests)
        or (stage.moments != {"test"} and "install" in stage.moments and (hooks or not stage.one_off))
    ]


def text_of(chosen: list[Stage], output: str) -> str:
    """Return the objects of stages as a text."""
    from fairlead.diagnose.hiding import visible

    objects = [item for stage in chosen for item in stage.objects]
    if output == "json":
        import orjson

        body = {"apiVersion": "v1", "kind": "List", "items": objects}
        return orjson.dumps(body, option=orjson.OPT_INDENT_2).decode() + "\n"
    if output == "name":
        return "".join(f"{visible(resource_name(item))}\n" for item in objects)
    if output == "table":
        rows = [
            ("STAGE", "KIND", "NAMESPACE", "NAME"),
            *(_row(stage.name, item) for stage in chosen for item in stage.objects),
        ]
        return table(rows)
    from fairlead.tongues import yamls

    return yamls.dump_all(objects)


def _row(stage: str, item: Resource) -> tuple[str, str, str, str]:
    meta = item.get("metadata") or {}
    return (
        stage,
        _kind(item),
        str(meta.get("namespace") or ""),
        str(meta.get("name") or meta.get("generateName") or ""),
    )


def _kind(item: Resource) -> str:
    group = str(item.get("apiVersion") or "").rpartition("/")[0]
    return f"{item.get('kind')}.{group}" if group else str(item.get("kind"))


def resource_name(item: Resource) -> str:
    """Return an object's name as kubectl prints it: `deployment.apps/web`."""
    meta = item.get("metadata") or {}
    return f"{_kind(item).lower()}/{meta.get('name') or meta.get('generateName') or ''}"


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Return rows in columns as wide as they need."""
    from fairlead.diagnose.hiding import visible

    shown = [tuple(visible(cell) for cell in row) for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
        for row in shown
    )


def images(objects: list[Resource]) -> list[str]:
    """Return the images that objects name, in their order: of containers of every sort, and of image volumes."""
    found: dict[str, None] = {}
    stack: list[Any] = list(reversed(objects))
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(reversed(item))
        elif isinstance(item, dict):
            for key in ("initContainers", "containers", "ephemeralContainers"):
                containers = item.get(key)
                for one in containers if isinstance(containers, list) else ():
                    if isinstance(one, dict) and isinstance(one.get("image"), str):
                        found[one["image"]] = None
            volumes = item.get("volumes")
            for one in volumes if isinstance(volumes, list) else ():
                held = one.get("image") if isinstance(one, dict) else None
                if isinstance(held, dict) and isinstance(held.get("reference"), str):
                    found[held["reference"]] = None
            stack.extend(value for value in reversed(list(item.values())) if isinstance(value, dict | list))
    return list(found)


def _show(what: str, rendered: Rendered, chosen: list[Stage], output: str) -> int:
    from fairlead.diagnose.hiding import visible
    from fairlead.tongues import yamls

    objects = [item for stage in chosen for item in stage.objects]
    if what == "notes":
        print(visible(rendered.notes.rstrip()) if rendered.notes.strip() else "the package has no notes")
        return 0
    shown: Any
    if what == "values":
        shown = dict(rendered.values)
    elif what == "images":
        everywhere = images([item for stage in rendered.stages for item in stage.objects])
        more = [one for one in rendered.images if one not in everywhere]
        shown = [*images(objects), *more]
    else:
        shown = [
            {
                "name": stage.name,
                "moments": sorted(stage.moments),
                "oneOff": stage.one_off,
                "checks": len(stage.checks),
                "objects": [resource_name(item) for item in stage.objects],
            }
            for stage in rendered.stages
        ]
    if output == "json":
        import orjson

        print(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
    elif what == "images":
        print(visible("\n".join(shown)))
    elif what == "stages" and output in {"table", "name"}:
        rows: list[tuple[str, ...]] = [("STAGE", "WHEN", "OBJECTS", "CHECKS")]
        rows += [
            (
                one["name"],
                ", ".join(one["moments"]) + (" (once)" if one["oneOff"] else ""),
                str(len(one["objects"])),
                str(one["checks"]),
            )
            for one in shown
        ]
        sys.stdout.write(table(rows))
    else:
        sys.stdout.write(yamls.dump(shown))
    return 0


def _write(chosen: list[Stage], folder: str, output: str) -> int:
    """Write each object to a file of its own, named by kind and name, in a folder for each stage where there are several."""
    from fairlead.faces.cli import outputs

    for path in outputs.write(chosen, folder, json=output == "json"):
        print(path)
    return 0


def _diff(args: argparse.Namespace, source: Source, rendered: Rendered) -> int:
    import asyncio

    from fairlead.faces.cli import outputs

    return asyncio.run(outputs.diff(args, source, rendered))
