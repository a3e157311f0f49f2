"""A chart and values into stages: dependencies, values, schema, templates, documents, in Helm's order and with Helm's errors.

Must never go on after an error that would stop Helm. Source: helm.sh/helm/v3/pkg/action/install.go and pkg/engine.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any, Final

from fairlead.dialects.helm import contexts, depending, schemas, staging
from fairlead.dialects.helm.charts import FIELDS, BadChart, Chart, Dependency, load
from fairlead.dialects.helm.coalescing import Mismatch, coalesced
from fairlead.render import overrides
from fairlead.render.packages import (
    Answers,
    Context,
    Lacking,
    Layer,
    Mistake,
    Mistaken,
    Package,
    Rendered,
    Values,
)
from fairlead.tongues.gotemplate import (
    Budget,
    ExecError,
    Exhausted,
    GoError,
    ParseError,
    Templates,
    Wanting,
    semvers,
)
from fairlead.tongues.gotemplate.encoding import as_go, read_yaml
from fairlead.tongues.gotemplate.jsonwriting import plain
from fairlead.tongues.gotemplate.kinds import Int64
from fairlead.tongues.gotemplate.running import WARNING
from fairlead.words import Finding, Need, Ref, Severity, Where

BUDGET: Final = Budget()
_NOTES: Final = "NOTES.txt"
_PLACE = re.compile(r"template: (.*?):(\d+)(?::(\d+))?: ", re.DOTALL)
_WARNED = re.compile(f"{WARNING[0]}(.*){WARNING[1]}", re.DOTALL)
_MANIFESTS: Final = (".yaml", ".yml", ".json")


def render(package: Package, values: Values, context: Context, answers: Answers) -> Rendered:
    """Return the stages of a chart. Raises Mistaken and Lacking."""
    files = _files(package)
    findings: list[Finding] = []
    try:
        chart = load(files)
        root = chart.name
        _look(chart, findings)
        _complete(chart, package, answers)
        given = _values(values)

        def warn(message: str) -> None:
            findings.append(_finding(root, message, "helm.values", Severity.WARNING, "values.yaml"))

        depending.process(chart, given, warn)
        _fits(chart, context)
        used = coalesced(chart, given, warn)
        _obey(chart, used)
        rendered = _run(chart, used, context, answers)
        notes = rendered.pop(f"{chart.path}/templates/{_NOTES}", "")
        staying, hooks, told = staging.apart(_documents(rendered), root)
        definitions = _definitions(chart)
    except BadChart as fault:
        raise Mistaken(Mistake(str(fault), Where(fault.file, fault.line))) from None
    except Mismatch as fault:
        raise Mistaken(Mistake(str(fault), Where("values.yaml"))) from None
    except GoError as fault:
        raise Mistaken(Mistake(str(fault), Where(package.where))) from None
    made = staging.stages(definitions, staying, hooks)
    return Rendered(
        sort="chart",
        package=root,
        version=str(chart.metadata["version"]),
        stages=made,
        findings=(*_once(findings), *told),
        notes=notes,
        images=staging.images(item for stage in made for item in stage.objects),
        values=plain(used),
    )


def _files(package: Package) -> dict[str, bytes]:
    if not package.target:
        return dict(package.files)
    lead = f"{package.target.rstrip('/')}/"
    return {path.removeprefix(lead): data for path, data in package.files.items() if path.startswith(lead)}


def _finding(chart: str, message: str, rule: str, severity: Severity, file: str) -> Finding:
    return Finding(
        rule=rule, severity=severity, subject=Ref("", "Chart", "", chart), message=message, where=Where(file)
    )


def _once(findings: list[Finding]) -> list[Finding]:
    return list({finding.message: finding for finding in findings}.values())


def _look(chart: Chart, findings: list[Finding]) -> None:
    """Say what there is to say of the chart itself; raise what Helm refuses to install."""
    if chart.library:
        raise BadChart("library charts are not installable", "Chart.yaml")
    if chart.metadata.get("deprecated") is True:
        message = f"This chart is deprecated: {chart.name} {chart.metadata['version']}"
        findings.append(_finding(chart.name, message, "helm.deprecated", Severity.WARNING, "Chart.yaml"))
    for key in sorted(chart.metadata.keys() - FIELDS):
        message = f"Chart.yaml has a field that Helm does not know: {key}"
        findings.append(_finding(chart.name, message, "helm.field", Severity.INFO, "Chart.yaml"))


# Dependencies


def _complete(chart: Chart, package: Package, answers: Answers) -> None:
    """Add the charts that are named in Chart.yaml and lie elsewhere. Raises Lacking, and Mistaken where nobody has them."""
    gone: list[Dependency] = []
    needs: list[Need] = []
    for wanted in depending.missing(chart):
        beside = _beside(wanted, package)
        need = _need(chart, wanted)
        if beside is None and need is not None and need not in answers:
            needs.append(need)
            continue
        files = beside if beside is not None else (answers.get(need) if need is not None else None)
        if not files:
            gone.append(wanted)
            continue
        inner = load(files, f"charts/{wanted.name}/")
        chart.hold([*chart.inside, inner])
    if needs:
        raise Lacking(*needs)
    if gone:
        names = ", ".join(wanted.name for wanted in gone)
        raise Mistaken(
            Mistake(
                f"found in Chart.yaml, but missing in charts/ directory: {names}",
                Where("Chart.yaml", 0, ".dependencies"),
                hint="run `helm dependency build` on the chart, or put the charts into charts/",
            )
        )


def _beside(wanted: Dependency, package: Package) -> Mapping[str, bytes] | None:
    """The files of a dependency that lies in a folder beside the chart, where the package has it."""
    if not wanted.repository.startswith("file://"):
        return None
    folder = posixpath.normpath(
        posixpath.join(package.target or ".", wanted.repository.removeprefix("file://"))
    )
    found = {
        path.removeprefix(f"{folder}/"): data
        for path, data in package.files.items()
        if path.startswith(f"{folder}/")
    }
    return found or None


def _need(chart: Chart, wanted: Dependency) -> Need | None:
    if not wanted.repository.startswith(("oci://", "https://", "http://")):
        return None
    version = chart.locked.get(wanted.name) or wanted.version
    address = wanted.repository.rstrip("/")
    if address.startswith("oci://"):
        address = f"{address}/{wanted.name}"
        return Need("package.files", Ref("", "", "", address), (("version", version),))
    return Need("package.files", Ref("", "", "", address), (("chart", wanted.name), ("version", version)))


# Values


def _values(layers: Values) -> dict[str, Any]:
    """The values as Helm reads them: numbers of files are float64, those of `--set` int64."""
    early: list[Layer] = [layer for layer in layers if layer.sort in {"file", "set-json"}]
    late = [layer for layer in layers if layer.sort not in {"file", "set-json"}]
    base: dict[str, Any] = as_go(overrides.merged(early, load=read_yaml))
    if not late:
        return base
    made: dict[str, Any] = _as_set(overrides.merged(late, under=base))
    return made


def _as_set(value: Any) -> Any:
    if type(value) is int:
        return Int64(value)
    if isinstance(value, dict):
        return {key: _as_set(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_set(item) for item in value]
    return value


def _fits(chart: Chart, context: Context) -> None:
    wanted = chart.metadata.get("kubeVersion")
    if not wanted:
        return
    version = context.capabilities.version
    version = version if version.startswith("v") else f"v{version}"
    try:
        fits = semvers.matches(wanted, version)
    except GoError:
        fits = False
    if not fits:
        raise BadChart(
            f"chart requires kubeVersion: {wanted} which is incompatible with Kubernetes {version}",
            "Chart.yaml",
        )


def _obey(chart: Chart, values: dict[str, Any]) -> None:
    """Raise Mistaken for values that do not fit the schemas of the chart and those inside."""
    mistakes: list[Mistake] = []
    _obeyed(chart, values, mistakes)
    if mistakes:
        raise Mistaken(*mistakes)


def _obeyed(chart: Chart, values: dict[str, Any], mistakes: list[Mistake]) -> None:
    if chart.schema is not None:
        where = f"{chart.file_where}values.schema.json"
        try:
            faults = schemas.check(chart.schema, values)
        except schemas.BadSchema as bad:
            mistakes.append(Mistake(str(bad), Where(where)))
            faults = []
        for fault in faults:
            path = "".join(f".{name}" if not name.isdigit() else f"[{name}]" for name in fault.place)
            text = "\n".join(fault.lines())
            message = f"values don't meet the specifications of the schema in chart {chart.name}: {text}"
            mistakes.append(Mistake(message, Where(where, 0, path)))
    for inner in chart.inside:
        given = values.get(inner.name)
        if isinstance(given, dict):
            _obeyed(inner, given, mistakes)
        elif given is not None:
            message = f"{inner.name}: invalid type for values: expected object (map)"
            mistakes.append(Mistake(message, Where("values.yaml", 0, f".{inner.name}")))


# Templates


def _run(chart: Chart, values: dict[str, Any], context: Context, answers: Answers) -> dict[str, str]:
    """The output of each template by its path, without those that only define. Raises Mistaken and Lacking."""
    shared = {
        "Release": contexts.release(context),
        "Capabilities": contexts.capabilities(context.capabilities),
    }
    texts: dict[str, str] = {}
    data: dict[str, tuple[str, dict[str, Any]]] = {}
    for one, scope in contexts.scopes(chart, values, shared):
        for name, text in one.templates:
            if one.library and not posixpath.basename(name).startswith("_"):
                continue
            path = posixpath.normpath(f"{one.path}/{name}")
            texts[path] = text
            data[path] = (f"{one.path}/templates", scope)
    order = sorted(sorted(texts, reverse=True), key=lambda path: path.count("/"), reverse=True)
    try:
        templates = Templates.of({path: texts[path] for path in order})
    except ParseError as fault:
        raise Mistaken(_unparsed(str(fault))) from None
    needs: dict[Need, None] = {}
    state = templates.state(
        moment=_moment(context, answers),
        seed=_seed(context, answers),
        lookup=_looking(answers, needs),
        budget=BUDGET,
    )
    rendered: dict[str, str] = {}
    for path in order:
        if posixpath.basename(path).startswith("_"):
            continue
        base, scope = data[path]
        scope["Template"] = {"Name": path, "BasePath": base}
        try:
            rendered[path] = templates.run(path, scope, state)
        except ExecError as fault:
            if needs:
                raise Lacking(*needs) from None
            raise Mistaken(_unexecuted(str(fault), path)) from None
        except Exhausted as fault:
            raise Mistaken(Mistake(str(fault), Where(path))) from None
        except Wanting as wanting:
            raise Lacking(*needs, _wanted(str(wanting), context)) from None
    if needs:
        raise Lacking(*needs)
    return rendered


def _wanted(what: str, context: Context) -> Need:
    return Need(f"render.{what}", Ref("", "Release", context.namespace, context.name))


def _moment(context: Context, answers: Answers) -> int | None:
    """The moment in nanoseconds, from an answer in seconds."""
    found = answers.get(_wanted("moment", context))
    return None if found is None else int(float(found) * 1_000_000_000)


def _seed(context: Context, answers: Answers) -> bytes | None:
    found = answers.get(_wanted("seed", context))
    return found.encode() if isinstance(found, str) else found


def _looking(answers: Answers, needs: dict[Need, None]) -> Any:
    """What answers lookups. What is not known is noted, and absent for the time being, so that all needs are found at once."""

    def lookup(version: str, kind: str, namespace: str, name: str) -> Any:
        """The object, or all of them as a list's items; an empty mapping for what is not there."""
        group = version.rpartition("/")[0]
        what = "cluster.object" if name else "cluster.list"
        need = Need(what, Ref(group, kind, namespace, name), (("apiVersion", version),))
        if need not in answers:
            needs[need] = None
        found = answers.get(need)
        if not found:
            return {}
        if name:
            return as_go(found)
        return {"apiVersion": version, "kind": f"{kind}List", "metadata": {}, "items": as_go(list(found))}

    return lookup


def _unparsed(text: str) -> Mistake:
    """Helm's words for a text that is no template: the place, and the last thing said."""
    place = _PLACE.match(text)
    if place is None:
        return Mistake(f"parse error: {text}")
    file, line, column = place.groups()
    return Mistake(f"parse error: {text.rsplit(': ', 1)[-1]}", Where(file, int(line)), int(column or 0))


def _unexecuted(text: str, path: str) -> Mistake:
    """Helm's words for a template that failed; a message of `required` and `fail` stands alone."""
    place = _PLACE.match(text)
    where, column, said = Where(path), 0, text
    if place is not None:
        file, line, at = place.groups()
        where, column, said = Where(file, int(line)), int(at or 0), text[place.end() :]
    trail = tuple(Where(found[1], int(found[2])) for found in _PLACE.finditer(text))
    warned = _WARNED.search(said)
    if warned is not None:
        return Mistake(f"execution error: {warned.group(1)}", where, column, trail=trail)
    return Mistake(said, where, column, trail=trail)


def _documents(rendered: Mapping[str, str]) -> list[staging.Document]:
    found: list[staging.Document] = []
    mistakes: list[Mistake] = []
    for path in sorted(rendered):
        if path.endswith(_NOTES) or not rendered[path].strip():
            continue
        documents, wrong = staging.documents(path, rendered[path])
        found += documents
        mistakes += wrong
    if mistakes:
        raise Mistaken(*mistakes)
    return found


def _definitions(chart: Chart) -> list[staging.Document]:
    """The objects of crds/, of the chart and then of those inside, as they are."""
    found: list[staging.Document] = []
    mistakes: list[Mistake] = []
    for name, data in chart.files.items():
        if name.startswith("crds/") and name.lower().endswith(_MANIFESTS):
            documents, wrong = staging.documents(
                f"{chart.path}/{name}", data.decode("utf-8", "surrogateescape")
            )
            found += documents
            mistakes += wrong
    if mistakes:
        raise Mistaken(*mistakes)
    for inner in chart.inside:
        found += _definitions(inner)
    return found
