"""What a plan of many fixes says, as text and as JSON. Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fairlead.faces.cli import findings, stories

if TYPE_CHECKING:
    from fairlead.faces.cli.pens import Pen
    from fairlead.reactor.heal import Healing
    from fairlead.reactor.planning import Plan
    from fairlead.reactor.trial import Trial


def story(made: Plan, pen: Pen, *, applying: bool) -> list[str]:
    """Return the plan: each fix with its patch and what its trial showed, what went away by itself, what has no fix."""
    lines: list[str] = []
    for number, trial in enumerate(made.trials, 1):
        lines += _step(number, trial, pen)
    for one in made.gone:
        lines += [f"  {pen.paint('↳', '32')} {one.subject}: goes away with the above: {one.message}"]
    for one in made.unfixed:
        lines += [f"  {pen.paint('?', '33;1')} {one.subject}: {one.message}: no fix is known"]
    if not (made.trials or made.gone or made.unfixed):
        return [pen.paint("✔ nothing is wrong", "32;1")]
    proven = len(made.proven)
    said = f"{proven} of {len(made.trials)} {'fix' if len(made.trials) == 1 else 'fixes'} proven, each on what the ones before leave"
    how = "" if applying or not proven else ". Carry them out: fairlead fix --all --apply"
    return [*lines, "", pen.paint(said, "1") + how]


def _step(number: int, trial: Trial, pen: Pen) -> list[str]:
    mark = pen.paint("✔", "32;1") if trial.proven else pen.paint("✖", "31;1")
    lines = [
        f"{mark} {number}. {trial.finding.subject}: {trial.fix.title}   {pen.paint(trial.finding.id, '2')}"
    ]
    lines += pen.wrap(trial.finding.message, "    ")
    if trial.fix.risk:
        lines += pen.wrap(f"risk: {trial.fix.risk}", "    ", "33")
    for text in trial.diffs:
        lines += stories.diff(text, pen)
    for step in trial.steps:
        if not step.ok:
            lines += pen.wrap(f"{step.name}: {step.detail}", "    ✖ ", "31", hang="      ")
    return [*lines, ""]


def document(made: Plan, healings: Sequence[tuple[Trial, Healing, str]] = ()) -> dict[str, Any]:
    """Return the plan, and what was done of it, as JSON."""
    from fairlead.reactor.healings import document as of_trial

    done = {trial.finding.id: (healed, record) for trial, healed, record in healings}
    return {
        "apiVersion": findings.VERSION,
        "kind": "Plan",
        "fixes": [of_trial(one, *done.get(one.finding.id, (None, ""))) for one in made.trials],
        "gone": [findings.finding(one) for one in made.gone],
        "unfixed": [findings.finding(one) for one in made.unfixed],
    }
