"""The kernel: what it allows, programs in it that serve a plan, and their records in batches. Must never judge what it reads.

abilities = kernel.probe()
sensor = kernel.open(plan)          # sensor.placed says which hook serves what
for batch in sensor.read(): ...     # sense.records tells what a batch holds
sensor.close()
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fairlead.drivers.kernel.cgroups import Hierarchy, cgroup_id, cgroup_of, cgroup_path, hierarchy
from fairlead.drivers.kernel.libbpf import Refused, loaded_programs
from fairlead.drivers.kernel.loading import SIZES, Count, Sensor
from fairlead.drivers.kernel.placing import Placed
from fairlead.drivers.kernel.probing import Abilities, Ability, probe
from fairlead.drivers.kernel.rings import Batch
from fairlead.sense.plans import Plan

__all__ = [
    "probe", "Abilities", "Ability", "open", "Sensor", "Refused", "Placed", "Batch", "Count", "SIZES",
    "Hierarchy", "hierarchy", "cgroup_id", "cgroup_path", "cgroup_of", "loaded_programs",
]  # fmt: skip


def open(  # noqa: A001  it is called as kernel.open
    plan: Plan,
    *,
    sizes: Mapping[str, int] | None = None,
    ignore: Iterable[int] = (),
    spare: Iterable[int] = (),
    contained_only: bool = True,
    environment: int = 4096,
    abilities: Abilities | None = None,
) -> Sensor:
    """Load the kernel's programs for a plan and start to listen.

    `sizes` are bytes of rings (calls, named, long, alerts), powers of two. What the processes in `ignore` (ids in the host's namespace) do is
    never seen, and nothing is done to them; those in `spare` are seen. This process and the machine's first are always spared, and this one is
    never seen. With `contained_only` the flight recorder keeps nothing of processes in the host's mount namespace. `environment` is
    how many bytes of it an EXEC record has at most.

    Raises:
        Refused: no rights, no libbpf, no BTF, or no programs for this machine; the hint says what could be done.

    """
    return Sensor(
        plan, sizes=sizes, ignore=ignore, spare=spare, contained_only=contained_only, environment=environment, abilities=abilities,
    )  # fmt: skip
