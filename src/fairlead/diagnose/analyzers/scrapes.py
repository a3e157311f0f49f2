"""The configuration of a Prometheus that runs without an operator: that it can be read, has something to read, and no job twice.

Looked at is the file that its arguments name, where that is a key of a ConfigMap. Nothing of it is shown but names of its own fields and jobs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from fairlead.diagnose.causes import Fact
from fairlead.diagnose.inventories import ANY_MAKER, Inventory, Template
from fairlead.diagnose.references import Container
from fairlead.tongues import yamls
from fairlead.tongues.paths import mappings, text, words
from fairlead.words import Ref, Resource, Severity

_FLAG = "--config.file="
_LARGEST = 512 * 1024
_FIELDS = frozenset(
    {"global", "runtime", "alerting", "rule_files", "scrape_configs", "scrape_config_files", "remote_write", "remote_read",
     "storage", "tracing", "otlp"}
)  # fmt: skip
"""What a configuration may have at its top; Prometheus refuses any other."""


def maker(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """What is wrong with the configuration of a Prometheus."""
    template = inventory.template_of(resource)
    for container in template.containers() if template is not None else ():
        told = [*words(container.content, "command"), *words(container.content, "args")]
        path = next((one.removeprefix(_FLAG) for one in told if one.startswith(_FLAG)), "")
        if template is None or not path or "prometheus" not in text(container.content, "image"):
            continue
        holder, key = _file(template, container, path)
        content = text(inventory.get(holder), "data", key) if holder is not None else ""
        if holder is not None and content:
            yield from _config(inventory, template, holder, key, content)


def _file(template: Template, container: Container, path: str) -> tuple[Ref | None, str]:
    """Return the ConfigMap and the key that a file of the container is, if it is one."""
    mounts = sorted(
        ((text(one, "mountPath").rstrip("/"), one) for _, one in mappings(container.content, "volumeMounts")),
        key=lambda pair: -len(pair[0]),
    )
    for where, mount in mounts:
        if not where or not (path == where or path.startswith(f"{where}/")):
            continue
        inner = text(mount, "subPath") if path == where else path.removeprefix(f"{where}/")
        volume = next(
            (one for _, one in mappings(template.spec, "volumes") if one.get("name") == mount.get("name")), {}
        )
        name = text(volume, "configMap", "name")
        items = {text(one, "path"): text(one, "key") for _, one in mappings(volume, "configMap", "items")}
        if not name or (items and inner not in items):
            return None, ""
        return Ref("", "ConfigMap", template.ref.namespace, name), items.get(inner, inner)
    return None, ""


def _config(inventory: Inventory, template: Template, holder: Ref, key: str, content: str) -> Iterator[Fact]:
    where = inventory.where(holder, ("data", key))

    def fact(message: str, cause: str = "") -> Fact:
        return Fact(
            rule="monitor.config",
            subject=holder,
            detail=key,
            severity=Severity.WARNING,
            message=f"{key} is what {template.ref} reads, and {message}",
            cause=cause,
            evidence=(inventory.field(holder, ("data", key), f"{template.ref} is started with {_FLAG}"),),
            where=where,
        )

    if len(content) > _LARGEST or "{{" in content:
        return  # too large, or not rendered yet
    try:
        yamls.check_depth(content)
        parsed: Any = yaml.load(content, Loader=_Plain)  # noqa: S506 -- _Plain makes plain values alone
    except (_Alias, yamls.BadYaml, RecursionError):
        return
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        at = f" at line {mark.line + 1}" if mark is not None else ""
        yield fact(f"it is no YAML{at}", "Prometheus does not start with it, or goes on with what it had.")
        return
    if not isinstance(parsed, dict):
        yield fact("it is no configuration")
        return
    strange = sorted(str(one) for one in parsed.keys() - _FIELDS)
    if strange:
        yield fact(
            f"has a field that Prometheus does not know: {strange[0]}", "It refuses the whole configuration."
        )
    jobs = Counter(text(one, "job_name") for _, one in mappings(parsed, "scrape_configs"))
    doubled = sorted(name for name, count in jobs.items() if name and count > 1)
    if doubled:
        yield fact(f"has job {doubled[0]} twice", "Prometheus refuses the whole configuration.")
    elif not jobs and not parsed.get("scrape_config_files") and not strange:
        yield fact("it has no scrape configurations: it reads no metrics")


class _Alias(Exception):
    """The text has an alias."""


class _Plain(yaml.SafeLoader):
    """YAML without aliases: what may grow by them is not looked at."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Return the next node. Raises _Alias."""
        if self.check_event(yaml.AliasEvent):
            raise _Alias
        return super().compose_node(parent, index)


UNITS: Mapping[tuple[str, str], Callable[[Inventory, Resource], Iterator[Fact]]] = {ANY_MAKER: maker}
