"""What the functions of the prelude are for, in a sentence each: the reference in docs/modules.md is made of this and of the prelude itself.

Says only what the prelude does; a test holds that every name is told of, with the parameters that it has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from fairlead.render.prelude import PRELUDE

DESCRIBING: Final[Mapping[str, str]] = {
    "text": "A text. `pattern` is a regular expression (RE2) that it must match, `enum` a list of what it may be.",
    "integer": "An integer.",
    "number": "An integer or a fraction.",
    "boolean": "True or False.",
    "choice": "One of the `options`.",
    "listing": "A list; `of` is the type of its items. `unique` is True, or the field by which items must differ.",
    "mapping": "A mapping from texts; `of` is the type of its values, `keys` a regular expression for its keys.",
    "group": 'Values that belong together: `group("what they are for", name = text(), ...)`. The build reads them with dots.',
    "open_group": "A group that lets other keys pass as they are.",
    "quantity": "An amount such as `100m` or `64Mi`; `measures` is `cpu`, `memory` or `storage`.",
    "port": "The number of a port, 1 to 65535.",
    "duration": "A duration as Go writes it: `1m30s`.",
    "secret_text": "A text that is in no message, no diff and no reference.",
    "image_ref": "The reference of an image.",
    "anything": "Anything: it is not checked.",
}

BUILDING: Final[Mapping[str, str]] = {
    "stage": "Objects that are applied together, and awaited (`wait`) before the next stage. `checks` are made by `health()`; `moments` are of "
    "`install`, `upgrade`, `rollback`, `delete` and `test`. Lists of objects may be nested, and None is left out.",
    "test": "A stage that is applied by tests only: Jobs that must complete.",
    "health": "When an object counts as healthy, in CEL over its fields: an object of this module, or an apiVersion and a kind.",
    "config_map": "A ConfigMap, immutable, whose name ends with a hash of its content: take the name from what this returns (`.metadata.name`).",
    "secret": "A Secret of texts, which are encoded here; named as `config_map()` names.",
    "image": "The reference of an image, of its parts. One without a tag or a digest is refused.",
    "labels": "The labels that Kubernetes recommends, for this instance.",
    "selector_labels": "Those of them that never change, for selectors.",
    "require": "Tells a mistake of the module's own unless the condition holds; the build goes on, so that all are told at once. `fail(message)` stops it.",
    "changed": "An object that a constructor made, with changes laid over it (None takes a field away), checked again.",
    "merged": "Mappings laid over each other, field by field; later ones win, None takes a field away.",
    "data_of": "Any value as plain mappings and lists.",
    "sha256": "The SHA-256 of a text, in hexadecimal digits.",
}

NAMESPACES: Final[Mapping[str, str]] = {
    "yaml.encode(value)": "A value as YAML: for what ConfigMaps hold.",
    "json.encode(value)": "A value as JSON; `json.decode(text)` reads it.",
    "base64.encode(text)": "A text in base64; `base64.decode(text)` reads it.",
    "quantities.total(*amounts)": "The sum of amounts, exactly.",
    "quantities.times(amount, factor)": "An amount times a number.",
    "quantities.compare(left, right)": "-1, 0 or 1.",
    "quantities.whole(amount)": "An amount as an integer, rounded up.",
    "durations.seconds(text)": "A duration in seconds.",
    "file(path)": "The text of a file of the package.",
    "files(pattern)": 'The texts of the files that fit a pattern such as `"conf/*.ini"`, by their names.',
    "print(*words)": "Tells a line beside the rendering, for whoever writes the module.",
}

CONTEXT: Final[Mapping[str, str]] = {
    "name": "the name of the instance",
    "namespace": "its namespace",
    "revision": "the number of the revision: 1 for an installation",
    "moment": "`install`, `upgrade`, `rollback`, `delete` or `test`",
    "module": "the name of the module",
    "version": "its version",
    "kubernetes.version": "the cluster's version, such as `v1.32.0`; `kubernetes.major` and `kubernetes.minor` are numbers",
    "serves(api)": "whether the cluster serves a `group/version` or a `group/version/Kind`",
}


def signature(name: str) -> str:
    """Return a function of the prelude as it is called: its name and its parameters with their defaults."""
    found = re.search(rf"^def {re.escape(name)}\((.*)\):$", PRELUDE, re.MULTILINE)
    return f"{name}({found[1]})" if found else name


def tables() -> str:
    """Return the reference as tables in Markdown."""
    out = []
    for title, words in (("Describing values", DESCRIBING), ("Building", BUILDING)):
        out += [f"### {title}", "", "| function | what it is for |", "| --- | --- |"]
        out += [f"| `{signature(name)}` | {said} |" for name, said in words.items()]
        out.append("")
    out += ["### Counting, encoding, reading", "", "| function | what it is for |", "| --- | --- |"]
    out += [f"| `{name}` | {said} |" for name, said in NAMESPACES.items()]
    out += ["", "### What `context` has", "", "| field | what it is |", "| --- | --- |"]
    out += [f"| `context.{name}` | {said} |" for name, said in CONTEXT.items()]
    return "\n".join(out) + "\n"
