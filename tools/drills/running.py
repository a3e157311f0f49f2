"""Plays scenarios on a cluster: healthy first, then the fault, the diagnosis as soon as Kubernetes shows it, the trial, the cure.

Time is measured from the moment at which the cluster's objects show what the scenario names until a diagnosis of the whole namespace names
the root. What is told wrongly in any look from then on counts. Several scenarios are played at once, each in its namespace; those that
touch what all share are played alone, and there the whole cluster is looked at.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from drills.acting import Stage
from drills.comparing import Result, false_roots, find, lacking
from drills.reading import CLUSTER_WIDE, Check, Manifest, Root, Scenario, space_of, version_of
from drills.seeing import HEALTH, holds, ill, kinds_for
from fairlead.drivers.cluster import AsyncCluster, Unreachable
from fairlead.drivers.definitions import load
from fairlead.keep.errors import Refusal
from fairlead.reactor.examine import examine_cluster
from fairlead.reactor.heal import heal
from fairlead.reactor.planning import look, try_fixes
from fairlead.reactor.trial import Trial
from fairlead.words import Finding, Severity

HEALTHY_SECONDS = 60.0
DIAGNOSED_SECONDS = 20.0
"""How long to look for roots after Kubernetes has shown the fault."""
SETTLED_SECONDS = 1.5
"""After the roots were told, a last look comes so much later: nothing else may have come up."""
HEALED_SECONDS = 45.0
EVERY = 0.1


class _Broken(Exception):
    """The scenario could not be played as it is written."""


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


async def play(
    cluster: AsyncCluster,
    scenarios: Sequence[Scenario],
    *,
    jobs: int = 4,
    done: Callable[[Result], None] = lambda _: None,
) -> list[Result]:
    """Play all scenarios, `jobs` at a time, those that need the cluster to themselves last. `done` is told of each."""
    gate = asyncio.Semaphore(jobs)

    async def one(scenario: Scenario) -> Result:
        async with gate:
            result = await Drill(cluster, scenario).run()
            done(result)
            return result

    results = await asyncio.gather(*(one(each) for each in scenarios if not each.alone))
    for each in scenarios:
        if each.alone:
            await _empty(cluster)
            results.append(await one(each))
    order = {each.name: place for place, each in enumerate(scenarios)}
    return sorted(results, key=lambda result: order[result.name])


async def _empty(cluster: AsyncCluster) -> None:
    """Wait until the namespaces of earlier scenarios are gone."""
    deadline = time.monotonic() + HEALTHY_SECONDS
    while time.monotonic() < deadline:
        spaces, _ = await cluster.list("v1", "Namespace")
        if not any(one["metadata"]["name"].startswith("drill-") for one in spaces):
            return
        await asyncio.sleep(0.2)


class Drill:
    """One scenario while it is played."""

    def __init__(self, cluster: AsyncCluster, scenario: Scenario) -> None:
        self.cluster = cluster
        self.scenario = scenario
        self.space = space_of(scenario.name)
        self.scope = "" if scenario.alone else self.space
        self.stage = Stage(cluster, self.space)
        self.result = Result(
            scenario.name, scenario.title, roots=len(scenario.roots), fixable=scenario.fixable
        )
        self.false: dict[str, None] = {}
        self.ahead = timedelta()

    def now(self) -> datetime:
        """Return the time by the diagnosis' clock."""
        return now() + self.ahead

    async def run(self) -> Result:
        """Play the scenario and return what became of it; nothing is raised over a scenario."""
        begun = time.monotonic()
        try:
            await self._run()
        except (_Broken, Refusal, Unreachable) as error:
            self.result.broken = str(error) or type(error).__name__
        finally:
            try:
                await self.stage.close()
            except (Refusal, Unreachable) as error:
                self.result.said.append(f"not put back: {error}")
        self.result.took = round(time.monotonic() - begun, 1)
        return self.result

    async def _run(self) -> None:
        await self.stage.open()
        for manifest in self.scenario.manifests:
            await self.stage.apply(manifest)
        await self.stage.do(self.scenario.before)
        await self._healthy()
        await self.stage.do(self.scenario.change)
        await self._shown()
        self.ahead = timedelta(seconds=self.scenario.ahead)
        found = await self._diagnosed()
        self.result.found = len(found)
        self.result.false = list(self.false)
        if len(found) == len(self.scenario.roots):
            await self._cured(found)

    # --- healthy, and then not

    async def _objects(self, kinds: Iterable[tuple[str, str]]) -> dict[str, list[Manifest]]:
        wanted = list(kinds)

        async def listed(kind: str, api_version: str) -> list[Manifest]:
            space = "" if kind in CLUSTER_WIDE else self.space
            try:
                items, _ = await self.cluster.list(api_version or version_of(kind), kind, space)
            except Refusal as refusal:
                if refusal.code == 404:
                    return []
                raise
            return [{**item, "kind": kind} for item in items]

        lists = await asyncio.gather(*(listed(*one) for one in wanted))
        return {kind: items for (kind, _), items in zip(wanted, lists, strict=True)}

    async def _ill(self) -> list[str]:
        return ill(await self._objects(HEALTH.items()))

    async def _healthy(self) -> None:
        deadline = time.monotonic() + HEALTHY_SECONDS
        while sick := await self._ill():
            if time.monotonic() > deadline:
                raise _Broken(f"never healthy: {'; '.join(sick)}")
            await asyncio.sleep(EVERY)
        wrong = [one for one in await self._look() if one.severity != Severity.INFO]
        if wrong:
            raise _Broken(
                f"found something while all was well: {wrong[0].rule} {wrong[0].subject}: {wrong[0].message}"
            )

    async def _unshown(self, checks: Sequence[Check]) -> list[str]:
        objects = await self._objects(kinds_for(checks).items())
        return [str(check) for check in checks if not holds(check, objects)]

    async def _shown(self) -> None:
        deadline = time.monotonic() + self.scenario.patience
        while missing := await self._unshown(self.scenario.shows):
            if time.monotonic() > deadline:
                raise _Broken(f"Kubernetes never showed: {'; '.join(missing)}")
            await asyncio.sleep(EVERY)

    # --- found

    async def _look(self) -> list[Finding]:
        return (await examine_cluster(self.cluster, self.now, self.scope)).findings

    async def _diagnosed(self) -> list[tuple[Root, Finding]]:
        shown = time.monotonic()
        times: dict[int, float] = {}
        while len(times) < len(self.scenario.roots) and time.monotonic() - shown < DIAGNOSED_SECONDS:
            findings = await self._look()
            for index, root in enumerate(self.scenario.roots):
                if find(root, findings, self.space) is not None:
                    times.setdefault(index, round(time.monotonic() - shown, 2))
            self._count(findings)
            if len(times) < len(self.scenario.roots):
                await asyncio.sleep(EVERY)
        self.result.seconds = [times[index] for index in sorted(times)]
        await asyncio.sleep(SETTLED_SECONDS)
        last = await self._look()
        self.result.told = last
        self._count(last)
        found: list[tuple[Root, Finding]] = []
        for root in self.scenario.roots:
            finding = find(root, last, self.space)
            if finding is None:
                self.result.said.append(f"not found: {root.rule} at {root.at}")
                continue
            found.append((root, finding))
            self.result.symptoms += lacking(root, finding, self.space)
        return found

    def _count(self, findings: Sequence[Finding]) -> None:
        self.false |= dict.fromkeys(false_roots(self.scenario, findings, self.space))

    # --- cured

    async def _cured(self, found: Sequence[tuple[Root, Finding]]) -> None:
        proven = 0
        for root, finding in found:
            trial, before = await self._tried(root)
            if trial is None:
                if root.fix:
                    self.result.said.append(f"no fix for {root.rule} at {finding.subject}")
                continue
            if not await self._applied(root, trial, before):
                return
            proven += 1
        if proven < len(found):
            return
        sick = await self._ill()
        left = [one for one in await self._look() if one.severity != Severity.INFO]
        if sick or left:
            self.result.said.append(f"after all fixes: {'; '.join([*sick, *(one.message for one in left)])}")
            return
        self.result.fixed = True

    async def _tried(self, root: Root) -> tuple[Trial | None, list[Finding]]:
        """Try what is offered for a root on a copy, as `fairlead fix` does."""
        moment = self.now()
        looked = await look(self.cluster, moment, self.scope)
        before = looked.findings
        finding = find(root, before, self.space)
        if finding is None or not finding.fixes:
            return None, before
        trial = await asyncio.to_thread(
            try_fixes, looked.view, finding, now=moment, before=before, definitions=load(), unseen=looked.unseen
        )  # fmt: skip
        return trial, before

    async def _applied(self, root: Root, trial: Trial, before: Sequence[Finding]) -> bool:
        """Carry out a proven fix and say whether it helped, as expected."""
        title = trial.fix.title
        if not trial.proven:
            step = next((one for one in trial.steps if not one.ok), None)
            self.result.said.append(
                f"not proven: {title}: {f'{step.name}: {step.detail}' if step else 'no steps'}"
            )
            return False
        healed = await heal(
            self.cluster, trial.finding, trial.fix, before=before, now=self.now, patience=HEALED_SECONDS, namespace=self.scope
        )  # fmt: skip
        if healed.outcome != "healthy":
            last = healed.steps[-1]
            left = "; ".join(one.message for one in healed.left if one.severity != Severity.INFO)
            self.result.said.append(f"{healed.outcome}: {title}: {last.name}: {last.detail} {left}")
            self.result.worse = healed.outcome == "rolled back" or self._worse(before, healed.left)
            return False
        if not root.fix or not re.search(root.fix, title):
            self.result.said.append(f"healed by another fix than expected: {title}")
        missing = await self._unshown(root.effect)
        if missing:
            self.result.said.append(f"without the effect: {'; '.join(missing)}")
            return False
        return True

    @staticmethod
    def _worse(before: Sequence[Finding], after: Sequence[Finding]) -> bool:
        known = {one.id for one in before}
        return any(one.id not in known and one.severity != Severity.INFO for one in after)
