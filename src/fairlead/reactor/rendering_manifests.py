"""The renderer of plain manifests: files in, their objects out, `${variables}` replaced where values are given.

Without values a manifest is taken as it stands: a dollar sign is a dollar sign.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.dialects import manifests
from fairlead.render import overrides, substituting
from fairlead.render.packages import Answers, Context, Layer, Mistake, Mistaken, Package, Rendered, Stage
from fairlead.words import Finding, Resource, Severity, Where


def render(package: Package, values: Sequence[Layer], context: Context, answers: Answers) -> Rendered:  # noqa: ARG001  a renderer's shape
    """Return the objects of all files, by the files' names and as they are written there, in one stage. Raises Mistaken."""
    given = overrides.merged(values)
    known: dict[str, str] | None = None
    if values:
        try:
            known = substituting.variables(given)
        except substituting.Unfit as unfit:
            raise Mistaken(Mistake(str(unfit), Where(values[-1].name))) from unfit
    objects: list[Resource] = []
    findings: list[Finding] = []
    mistakes: list[Mistake] = []
    documents = []
    for path, body in sorted(package.files.items()):
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            line = body.count(b"\n", 0, error.start) + 1
            mistakes.append(Mistake("is not text in UTF-8", Where(path, line)))
            continue
        if known is not None:
            made, faults = substituting.substitute_documents(text, known)
            lines = text.splitlines()
            mistakes += [
                Mistake(one.message, Where(path, one.line), one.column, lines[one.line - 1], one.hint)
                for one in faults
            ]
            if faults:
                continue
            text = made
        found, said = manifests.read(path, text)
        for document in found:
            space = (document.content.get("metadata") or {}).get("namespace")
            if space is not None and not isinstance(space, str):
                mistakes.append(Mistake("a namespace is a text", document.where(".metadata.namespace")))
        documents += found
        lines = text.splitlines()
        for one in said:
            if (
                one.rule in {"document.broken", "document.unsafe", "document.template"}
                or one.severity == Severity.CRITICAL
            ):
                mistakes.append(_mistake(one, lines))
            else:
                findings.append(one)
        objects += [document.content for document in found]
    if mistakes:
        raise Mistaken(*mistakes)
    return Rendered(
        sort="manifests",
        package=context.name,
        stages=(Stage("objects", tuple(objects)),),
        findings=(*findings, *manifests.doubles(documents)),
        values=given,
    )


def _mistake(finding: Finding, lines: Sequence[str]) -> Mistake:
    line = finding.where.line
    excerpt = lines[line - 1] if 0 < line <= len(lines) else ""
    if finding.rule == "document.template":
        return Mistake(
            "is a template of a Helm chart, and no manifest",
            finding.where,
            excerpt=excerpt,
            hint="render the chart's folder, the one with Chart.yaml",
        )
    message = finding.message.replace(f" at line {line}", "", 1).removesuffix(".")
    return Mistake(message, Where(finding.where.file, line), excerpt=excerpt)
