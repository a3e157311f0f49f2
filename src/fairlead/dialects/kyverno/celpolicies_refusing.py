"""How Kyverno's webhooks word a refusal by the policies of policies.kyverno.io."""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.judge.policies import Judged
from fairlead.judge.subjects import Subject


def refusal_of_validation(subject: Subject, judged: Sequence[Judged]) -> str:  # noqa: ARG001  the face of all refusals
    """Word a denial by ValidatingPolicies."""
    return _refused("vpol.validate.kyverno.svc-fail", judged)


def refusal_of_mutation(subject: Subject, judged: Sequence[Judged]) -> str:  # noqa: ARG001  the face of all refusals
    """Word a denial by MutatingPolicies, which only an error is."""
    return _refused("mpol.mutate.kyverno.svc-fail", judged)


def refusal_of_images(subject: Subject, judged: Sequence[Judged]) -> str:  # noqa: ARG001  the face of all refusals
    """Word a denial by ImageValidatingPolicies."""
    return _refused("ivpol.validate.kyverno.svc-fail", judged)


def _refused(webhook: str, judged: Sequence[Judged]) -> str:
    told = [
        f"Policy {one.policy.name} {'error' if one.outcome.result == 'error' else 'failed'}: {one.outcome.message}"
        for one in judged
    ]
    return f'admission webhook "{webhook}" denied the request: {"; ".join(told)}'
