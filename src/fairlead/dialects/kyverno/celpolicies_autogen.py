"""Autogen for the policies of policies.kyverno.io: a policy about Pods made to mean what creates Pods as well.

Works on documents, before anything is compiled: expressions are rewritten as texts, just as Kyverno does, so that what they
come to is the same. Source: kyverno/kyverno pkg/cel/autogen, pkg/cel/policies/*/autogen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fairlead.words import Resource


class Shape(NamedTuple):
    """One sort of controllers: its name, where a Pod's metadata and spec are in it, and the kinds, by group."""

    name: str
    template: str
    kinds: Mapping[str, tuple[str, ...]]


DEFAULTS = Shape(
    "defaults",
    "spec.template",
    {"apps": ("daemonsets", "deployments", "replicasets", "statefulsets"), "batch": ("jobs",)},
)
CRONJOBS = Shape("cronjobs", "spec.jobTemplate.spec.template", {"batch": ("cronjobs",)})

_ALL = ("cronjobs", "daemonsets", "deployments", "jobs", "replicasets", "statefulsets")
_PROTECTED = r"(?!\.(?:namespace|name)(?![A-Za-z0-9_]))"


def controllers(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the plurals that a policy extends to: what it names, or all; nothing where it is not about Pods alone."""
    if not _about_pods(spec.get("matchConstraints")):
        return ()
    autogen = spec.get("autogen")
    chosen = autogen.get("podControllers") if isinstance(autogen, Mapping) else None
    named = chosen.get("controllers") if isinstance(chosen, Mapping) else None
    if not isinstance(named, list):
        return _ALL
    return tuple(one for one in _ALL if one in named)


def _about_pods(match: Any) -> bool:
    if not isinstance(match, Mapping) or match.get("excludeResourceRules"):
        return False
    for key in ("namespaceSelector", "objectSelector"):
        selector = match.get(key)
        if isinstance(selector, Mapping) and (
            selector.get("matchLabels") or selector.get("matchExpressions")
        ):
            return False
    rules = match.get("resourceRules")
    if not isinstance(rules, list) or len(rules) != 1 or not isinstance(rules[0], Mapping):
        return False
    rule = rules[0]
    return (
        not rule.get("resourceNames")
        and rule.get("apiGroups") == [""]
        and rule.get("apiVersions") == ["v1"]
        and rule.get("resources") == ["pods"]
    )


def shapes(spec: Mapping[str, Any]) -> Iterator[tuple[Shape, dict[str, Any]]]:
    """Return each sort of controllers that a policy extends to, with the match constraints that mean them."""
    named = controllers(spec)
    if not named:
        return
    for shape in (CRONJOBS, DEFAULTS):
        rules = [
            {
                "apiGroups": [group],
                "apiVersions": ["v1"],
                "resources": [one for one in plurals if one in named],
                "operations": spec["matchConstraints"]["resourceRules"][0].get("operations") or [],
            }
            for group, plurals in shape.kinds.items()
        ]
        rules = [rule for rule in rules if rule["resources"]]
        if rules:
            yield shape, {"resourceRules": rules}


def validating(spec: Mapping[str, Any]) -> Iterator[tuple[Shape, Resource]]:
    """Return the specs that a ValidatingPolicy or an ImageValidatingPolicy stands for beside its own."""
    for shape, match in shapes(spec):
        yield shape, {**_rewritten(spec, shape), "matchConstraints": match}


def mutating(spec: Mapping[str, Any]) -> Iterator[tuple[Shape, Resource]]:
    """Return the specs that a MutatingPolicy stands for beside its own: conditions and apply configurations are rewritten."""
    for shape, match in shapes(spec):
        yield (
            shape,
            {
                **spec,
                "matchConstraints": match,
                "matchConditions": [
                    _with_expression(one, shape) for one in _mappings(spec.get("matchConditions"))
                ],
                "mutations": [
                    {**one, "applyConfiguration": _with_expression(one["applyConfiguration"], shape)}
                    if isinstance(one.get("applyConfiguration"), Mapping)
                    else one
                    for one in _mappings(spec.get("mutations"))
                ],
            },
        )


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _rewritten(value: Any, shape: Shape) -> Any:
    if isinstance(value, str):
        for field in ("spec", "metadata"):
            for root in ("object", "oldObject"):
                value = re.sub(rf"{root}\.{field}{_PROTECTED}", f"{root}.{shape.template}.{field}", value)
        return value
    if isinstance(value, Mapping):
        return {key: _rewritten(item, shape) for key, item in value.items()}
    if isinstance(value, list):
        return [_rewritten(item, shape) for item in value]
    return value


def _with_expression(holder: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    text = holder.get("expression")
    return {**holder, "expression": _template_expression(text, shape) if isinstance(text, str) else text}


def _template_expression(text: str, shape: Shape) -> str:
    """Return what an expression about a Pod says about a template. An `Object{...}` at its start is wrapped."""
    for root in ("object", "Object"):
        text = text.replace(f"{root}.spec", f"{root}.{shape.template}.spec")
        for field in ("labels", "annotations"):
            text = text.replace(f"{root}.metadata.{field}", f"{root}.{shape.template}.metadata.{field}")
    body = text.strip()
    if not body.startswith("Object{"):
        return text
    body = body.removeprefix("Object{")
    depth = 1
    for place, character in enumerate(body):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            if place == 0:
                return text
            return _wrapped(body[:place], shape) + body[place + 1 :]
    return text


def _wrapped(body: str, shape: Shape) -> str:
    parts = shape.template.split(".")
    opening = "Object{"
    for index, part in enumerate(parts):
        opening += f"{part}: Object.{'.'.join(parts[: index + 1])}{{"
    return opening + body + "}" * (len(parts) + 1)
