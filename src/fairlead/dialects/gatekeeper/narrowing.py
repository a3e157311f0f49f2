"""Sets that a template only ever asks for some of their members are not made in full.

Templates share one rule between several lists: `general_violation[{"msg": msg, "field": "containers"}]`, where the rule itself
would go over every field of a pod's spec. As nobody but the template's own `violation` asks for such a set, and always with
constants in the same place, its rules are told which constants can matter. What `violation` gives stays the same. Must never
touch a rule that anything else could ask for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fairlead.tongues.rego import syntax
from fairlead.tongues.rego.syntax import nodes

Constants = dict[str, dict[str, syntax.Scalar]]
"""Of one set: the constants by the key that they stand under, each once by its text."""


def _insides(module: syntax.Module) -> Iterator[Any]:
    """Yield every node but the names of the rules themselves."""
    for rule in module.rules:
        yield from nodes([rule.args, rule.key, rule.value, rule.body, rule.otherwise, rule.ref[1:]])


def _entries(term: Any) -> dict[str, Any]:
    """Return the entries of an object whose keys are plain texts; nothing if one is not."""
    if not isinstance(term, syntax.Object):
        return {}
    found = {}
    for key, value in term.items:
        if not (isinstance(key, syntax.Scalar) and isinstance(key.value, str)):
            return {}
        found[key.value] = value
    return found


def _asked(module: syntax.Module, names: set[str]) -> dict[str, Constants]:
    """Return, for each set that is only asked for by objects, the constants that stand under keys in every question."""
    questions: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    heads: set[int] = set()
    for node in _insides(module):
        if isinstance(node, syntax.Ref) and isinstance(node.head, syntax.Var) and node.head.name in names:
            entries = _entries(node.path[0]) if len(node.path) == 1 else {}
            if entries:
                heads.add(id(node.head))
                questions[node.head.name].append(entries)
    for node in _insides(module):
        if isinstance(node, syntax.Var) and node.name in names and id(node) not in heads:
            questions[node.name] = []
        elif isinstance(node, syntax.Ref) and isinstance(node.head, syntax.Var) and node.head.name == "data":
            first = node.path[0]
            if not (isinstance(first, syntax.Scalar) and first.value in {"lib", "inventory"}):
                return {}
    return {name: found for name, asked in questions.items() if asked and (found := _shared(asked))}


def _shared(asked: list[dict[str, Any]]) -> Constants:
    found: Constants = {}
    for key in set(asked[0]).intersection(*asked[1:]):
        values = [one[key] for one in asked]
        if all(isinstance(value, syntax.Scalar) and isinstance(value.value, str) for value in values):
            found[key] = {value.value: value for value in values}
    return found


def _declares(rule: syntax.Rule, name: str) -> bool:
    """Whether a rule's body gives a variable a meaning of its own, so that nothing may be said of it beforehand."""
    for node in nodes(rule.body):
        if isinstance(node, syntax.Some) and any(one.name == name for one in node.names):
            return True
        if isinstance(node, syntax.SomeIn | syntax.Every):
            declared = [node.value, node.key]
            if any(isinstance(one, syntax.Var) and one.name == name for one in nodes(declared)):
                return True
        if isinstance(node, syntax.Call) and node.name == "assign":
            declared = [node.args[0]]
            if any(isinstance(one, syntax.Var) and one.name == name for one in nodes(declared)):
                return True
        if isinstance(node, syntax.Statement) and node.withs:
            return True
    return False


def narrow(module: syntax.Module, entry: str = "violation") -> None:
    """Tell the rules of sets in a module, which only `entry` is asked of, which constants can matter."""
    sets: dict[str, list[syntax.Rule]] = {}
    others: set[str] = {entry}
    for rule in module.rules:
        head = rule.ref[0]
        assert isinstance(head, syntax.Var)
        if rule.kind == "set" and len(rule.ref) == 1 and not rule.default:
            sets.setdefault(head.name, []).append(rule)
        else:
            others.add(head.name)
    asked = _asked(module, sets.keys() - others)
    for name, constants in asked.items():
        for rule in sets[name]:
            entries = _entries(rule.key)
            for key, values in constants.items():
                variable = entries.get(key)
                if isinstance(variable, syntax.Var) and not _declares(rule, variable.name):
                    told = syntax.SomeIn(
                        None,
                        syntax.Var(variable.name, rule.at),
                        syntax.Array(tuple(values.values()), rule.at),
                        rule.at,
                    )
                    rule.body = (syntax.Statement(told, at=rule.at), *rule.body)
