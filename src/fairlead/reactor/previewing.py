"""What would be wrong if files were applied: a cluster is looked at once, examined as it is, and again with the files laid over it.

Changes nothing on the cluster. What is wrong already and has nothing to do with the files is told apart, so that a review is about its change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from fairlead.diagnose.examining import examine, needs
from fairlead.drivers.cluster import AsyncCluster
from fairlead.reactor.examine import Examined, examine_files, gather, read_files
from fairlead.reactor.gathering import Told, answer
from fairlead.reactor.laying import overlay
from fairlead.reactor.practising import advise
from fairlead.reactor.unwrapping import Unwrapped
from fairlead.words import Finding, Ref, Where

_ABOUT_FILES = frozenset({"document", "object", "kustomization", "package", "helm", "module"})
_NOT_HERE = "object.foreign"


@dataclass(frozen=True, slots=True)
class Preview:
    """What an examination with the files finds that they have a part in; `old` is wrong without them too, `gone` only without them."""

    examined: Examined
    old: list[Finding]
    gone: list[Finding]


async def preview(
    cluster: AsyncCluster,
    texts: Mapping[str, str],
    now: Callable[[], datetime],
    namespace: str = "",
    *,
    advice: bool = False,
    told: Told | None = None,
    packages: Unwrapped | None = None,
) -> Preview:
    """Return what would be wrong if the files (text by name) and the packages among them were applied. Raises Unreachable and Refusal."""
    documents, _ = read_files(texts, built=True, packages=packages)
    moment = now()
    view, unseen = await gather(cluster, namespace, told=told)
    answers = await answer(cluster, needs(view, now=moment))
    before = examine(view, scope="live", now=moment, answers=answers, unseen=unseen, advice=advice)
    places = overlay(view, documents, namespace or cluster.access.namespace)

    def locate(ref: Ref, path: str) -> Where:
        document = places.get(ref)
        return document.where(path) if document is not None else Where(path=path)

    after = examine(
        view, scope="live", now=moment, answers=answers, unseen=unseen, locate=locate, advice=advice
    )
    written = [
        one
        for one in examine_files(texts, moment, packages=packages).findings
        if one.rule.partition(".")[0] in _ABOUT_FILES and one.rule != _NOT_HERE
    ]
    known, left = {one.id for one in before}, {one.id for one in after}

    def concerned(one: Finding) -> bool:
        return one.id not in known or any(
            ref in places for ref in (one.subject, *(symptom.subject for symptom in one.symptoms))
        )

    found = [*written, *(one for one in after if concerned(one))]
    if advice:
        found += [one for one in advise(view, locate) if one.subject in places]
    found.sort(key=lambda one: (one.severity != "critical", one.severity == "info"))
    return Preview(
        Examined(found, view, "live", unseen, places),
        old=[one for one in after if not concerned(one)],
        gone=[one for one in before if one.id not in left],
    )
