"""Which fields Kubernetes' Go types hold as structs by value, so that they are there even when nobody mentions them.

Data only. Made from the public Go types by `tools/make_messages.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

VALUES: Mapping[str, frozenset[str]] = {}
"""By the bare name of the struct: the JSON names of its fields that are structs and not pointers to them."""
