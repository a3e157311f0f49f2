"""Native modules, rendered with Kubernetes' definitions at hand: the language is pure, and the definitions are a file.

They are read when this is imported, which is before a worker gives up its files. Holds no rules of rendering.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fairlead.drivers import definitions
from fairlead.render import building, modules
from fairlead.render.packages import Answers, Context, Layer, Package, Rendered

_DEFINITIONS: Final[dict[str, Any]] = definitions.load()
building.kubernetes(_DEFINITIONS)


def render(package: Package, layers: Sequence[Layer], context: Context, answers: Answers) -> Rendered:
    """Render a native module. Raises Mistaken and Lacking."""
    return modules.render(package, layers, context, answers, definitions=_DEFINITIONS)


def described(package: Package, answers: Answers) -> modules.Described:
    """Return what a module says of itself: its manifest and its values. Raises Mistaken and Lacking."""
    return modules.described(package, answers, definitions=_DEFINITIONS)
