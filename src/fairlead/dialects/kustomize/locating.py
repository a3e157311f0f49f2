"""Where in a file a path of a settings document was written. Asked only once something is wrong, so that reading stays quick."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml

from fairlead.render.packages import Mistake
from fairlead.tongues import yamls
from fairlead.words import Where

_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


def located(mistake: Mistake, files: Mapping[str, bytes]) -> Mistake:
    """Return the mistake with the line that it is about, and that line, where its path says which."""
    where = mistake.where
    body = files.get(where.file)
    if body is None or (where.line == 0 and not where.path):
        return mistake
    text = body.decode(errors="replace")
    line = where.line or line_of(text, where.path)
    lines = text.splitlines()
    if not 0 < line <= len(lines):
        return mistake
    return replace(
        mistake, where=Where(where.file, line, where.path), excerpt=mistake.excerpt or lines[line - 1]
    )


def line_of(text: str, path: str) -> int:
    """Return the line (from 1) of a path such as `.patches[0].target` in the first document, or of the nearest above it; 0: unknown."""
    try:
        yamls.check_depth(text)
        node: Any = next(
            iter(yaml.compose_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))), None
        )
    except (yaml.YAMLError, yamls.BadYaml, RecursionError):
        return 0
    line = 0
    for name, index in _STEP.findall(path):
        found = None
        if name and isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == name or key.value.lower() == name.lower():
                    found, line = value, key.start_mark.line + 1
        elif index and isinstance(node, yaml.SequenceNode) and int(index) < len(node.value):
            found = node.value[int(index)]
            line = found.start_mark.line + 1
        if found is None:
            break
        node = found
    return line
