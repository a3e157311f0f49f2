"""ClusterImagePolicy and TrustRoot (policy-controller): which images must be signed, by whom, and what must be attested of them.

`policies` reads documents, `names` knows how images and globs are compared, `compliance` judges what was attested, `judging` makes rules.
Signatures are asked for (judge/signatures.py), never verified here. Source: sigstore/policy-controller v1alpha1 and v1beta1.
"""

from __future__ import annotations

from fairlead.dialects.imagepolicy.judging import assemble
from fairlead.dialects.imagepolicy.policies import GROUP, READS, ImagePolicy, TrustRoot
from fairlead.dialects.imagepolicy.statuses import WRITES

__all__ = ["GROUP", "READS", "WRITES", "ImagePolicy", "TrustRoot", "assemble"]
