"""The Common Expression Language: a text, compiled once, evaluated often.

    environment = cel.Environment(variables=("object",), libraries=cel.kubernetes.LIBRARIES)
    program = environment.compile("object.spec.replicas <= 5")
    program({"object": deployment})

Pure: no clock, no files, no randomness; whatever an expression asks of the world comes in as a function of a Library. No
expression, however hostile, takes unbounded time or memory when it is given a budget.
Source: github.com/google/cel-spec; where that leaves a choice, what Kubernetes does.
"""

from __future__ import annotations

from fairlead.tongues.cel import kubernetes, optionals
from fairlead.tongues.cel.costs import Meter
from fairlead.tongues.cel.environments import Environment, Program
from fairlead.tongues.cel.errors import BadExpression, Failed, TooCostly
from fairlead.tongues.cel.libraries import Library, Maker
from fairlead.tongues.cel.types import Type
from fairlead.tongues.cel.values import (
    NONE,
    Duration,
    Fields,
    Lazy,
    Message,
    Optional,
    Timestamp,
    Uint,
    equal,
    to_json,
    type_of,
)

__all__ = [
    "BadExpression",
    "Duration",
    "Environment",
    "Failed",
    "Fields",
    "Lazy",
    "Library",
    "Maker",
    "Message",
    "Meter",
    "NONE",
    "Optional",
    "Program",
    "Timestamp",
    "TooCostly",
    "Type",
    "Uint",
    "equal",
    "kubernetes",
    "optionals",
    "to_json",
    "type_of",
]
