"""Kyverno's policies: ClusterPolicy and its kin in, the judge's rules out. Never raises over a document's content."""
