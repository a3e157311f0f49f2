"""Go's text/template with the functions of Sprig and Helm: a text is compiled once, into Python functions.

`Templates` holds the templates of many files, and `run` runs one of them. Pure: time and randomness are handed in. Must never read a
file, ask a host or evaluate Python that a template wrote. Source: go.dev/pkg/text/template, github.com/Masterminds/sprig/v3,
helm.sh/helm/v3/pkg/engine.
"""

from fairlead.tongues.gotemplate.kinds import FileMap, Function, GoError, Named, Struct, VersionSet
from fairlead.tongues.gotemplate.parsing import ParseError
from fairlead.tongues.gotemplate.running import FUNCTIONS, Templates
from fairlead.tongues.gotemplate.states import Budget, ExecError, Exhausted, Wanting

__all__ = [
    "FUNCTIONS",
    "Budget",
    "ExecError",
    "Exhausted",
    "FileMap",
    "Function",
    "GoError",
    "Named",
    "ParseError",
    "Struct",
    "Templates",
    "VersionSet",
    "Wanting",
]
