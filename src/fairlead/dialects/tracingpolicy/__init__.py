"""Tetragon's TracingPolicy and TracingPolicyNamespaced (cilium.io/v1alpha1) as a dialect of the sense engine.

A document becomes a Policy (`reading`), its probes are placed where this kernel can see them (`placing`, over the tables of
hooks), and each becomes a rule of the engine (`assembling`): a part that the kernel decides, and a residue. `events` writes what was seen as
Tetragon does. Nothing here touches the kernel or the clock, and no document's content makes it raise.
"""

from __future__ import annotations

from fairlead.dialects.tracingpolicy.assembling import Loaded, load
from fairlead.dialects.tracingpolicy.events import Exporter, line
from fairlead.dialects.tracingpolicy.filters import Host
from fairlead.dialects.tracingpolicy.placing import Told, placements
from fairlead.dialects.tracingpolicy.reading import GROUP, KINDS
from fairlead.dialects.tracingpolicy.verdicts import Verdict

__all__ = ["GROUP", "KINDS", "Exporter", "Host", "Loaded", "Told", "Verdict", "line", "load", "placements"]
