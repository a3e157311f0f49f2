"""What Kubernetes gives its expressions beyond the standard: its libraries and the message literals of mutating policies.

A table of libraries; each is in a module of its own.
"""

from __future__ import annotations

from fairlead.tongues.cel.libraries import Library
from fairlead.tongues.cel.macros import BINDINGS, OPTIONALS, TWO_VARIABLES

LIBRARIES: tuple[Library, ...] = (Library("macros", macros={**OPTIONALS, **TWO_VARIABLES, **BINDINGS}),)
"""Everything that expressions in Kubernetes may use, but for the authorizer and `MUTATION`."""

MUTATION: tuple[Library, ...] = ()
"""What the expressions of mutating policies have besides: `Object{...}` and `JSONPatch{...}`."""
