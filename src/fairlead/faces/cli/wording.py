"""A model's words for findings, where one is configured; nothing is sent otherwise.

FAIRLEAD_MODEL names it (see docs/model.md). What it says is shown as its own, beside the rules' words and never in their place.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fairlead.faces.cli.problems import Problem

if TYPE_CHECKING:
    from fairlead.reactor.explaining import Explained, Explainer
    from fairlead.words import Finding, Snapshot

CALLS, TOKENS = "FAIRLEAD_MODEL_CALLS", "FAIRLEAD_MODEL_TOKENS"


def explainer() -> Explainer | None:
    """Return who asks the model that is configured, or None. Raises Problem where it is configured wrongly."""
    if not os.environ.get("FAIRLEAD_MODEL"):
        return None
    from fairlead.drivers.llm import configured
    from fairlead.reactor.explaining import Budget, Explainer, state_folder

    try:
        settings = configured()
        spend = {"calls": os.environ.get(CALLS), "tokens": os.environ.get(TOKENS)}
        budget = Budget(**{name: int(number) for name, number in spend.items() if number})
    except ValueError as error:
        raise Problem(str(error), "docs/model.md tells how a model is configured", code=2) from error
    return Explainer(settings, state_folder(), budget=budget) if settings is not None else None


async def explanations(findings: Sequence[Finding], view: Snapshot) -> tuple[dict[str, str], list[str]]:
    """Return the model's words for findings by their ids, and what is to be said of it: none of both where none is configured."""
    asking = explainer()
    if asking is None:
        return {}, []
    explained = await _explain(asking, findings, view)
    return {name: one.words for name, one in explained.suggestions.items()}, explained.notes


async def suggested(finding: Finding, view: Snapshot) -> tuple[Finding, list[str]]:
    """Return the finding with the fix that the model proposes, if it proposes one that may be tried, and what is to be said. Raises Problem."""
    from fairlead.reactor.explaining import with_suggestions

    asking = explainer()
    if asking is None:
        raise Problem(
            "no model is configured",
            "FAIRLEAD_MODEL=provider:name, see docs/model.md; nothing is sent without it",
            code=2,
        )
    explained = await _explain(asking, [finding], view, patch=True)
    return with_suggestions([finding], explained)[0], explained.notes


async def _explain(
    asking: Explainer, findings: Sequence[Finding], view: Snapshot, *, patch: bool = False
) -> Explained:
    try:
        return await asking.explain(findings, view, patch=patch)
    except OSError as error:
        raise Problem(f"what the model needs to remember cannot be kept: {error}", code=2) from error
