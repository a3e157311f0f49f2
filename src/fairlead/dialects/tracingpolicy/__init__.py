"""Tetragon's TracingPolicy and TracingPolicyNamespaced (cilium.io/v1alpha1) as a dialect of the sense engine.

A document becomes a Policy (`reading`), its probes are placed where this kernel can see them (`placing`, over the tables of
hooks), and each becomes a rule of the engine (`assembling`): a part that the kernel decides, and a residue. `events` writes what was seen as
Tetragon does. Nothing here touches the kernel or the clock, and no document's content makes it raise.
"""
