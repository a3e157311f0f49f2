"""The Helm dialect: charts, unchanged, rendered as Helm renders them, and their hooks as stages.

`render` is the renderer of charts: it raises Mistaken with Helm's own words and Lacking for what only a cluster or a repository can
tell (`lookup`, dependencies that are not in charts/, the moment, randomness). Must never apply or fetch anything.
Source: helm.sh/docs/topics/charts, helm.sh/helm/v3.
"""

from fairlead.dialects.helm.rendering import render

__all__ = ["render"]
