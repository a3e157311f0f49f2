"""Takes over Helm releases: when every object of one belongs to an instance, Helm's records of it go, since Helm would delete by them.

Deletes nothing else, and nothing while an object of the release is left over: that is told instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.converge import releases
from fairlead.converge.inventory import Inventory
from fairlead.converge.owning import Owner
from fairlead.keep.errors import Refusal
from fairlead.reactor.converging_requests import Requests
from fairlead.words import Ref


async def release(requests: Requests, taken: Sequence[Owner], kept: Inventory, home: str) -> list[str]:
    """Let go of releases whose objects were taken over; return what is to be said of each. Raises Unreachable."""
    return [await _one(requests, one, kept, one.namespace or home) for one in taken]


async def _one(requests: Requests, owner: Owner, kept: Inventory, space: str) -> str:
    by_hand = f"kubectl delete secret -n {space} -l {releases.selector(owner.name)}"
    try:
        secrets, _ = await requests.list("v1", "Secret", space, labels=releases.selector(owner.name))
        record = releases.latest(secrets)
        if record is None:
            return f"{owner} is taken over"
        left = releases.left_over(releases.objects(record, space), [one.ref for one in kept])
        if left:
            named = ", ".join(map(str, left[:5])) + (" ..." if len(left) > 5 else "")
            return (
                f"{owner} still has {len(left)} objects that this package lacks ({named}), so its records stay: `helm uninstall` would delete "
                f"what was taken over too. Once they are nobody's: {by_hand}"
            )
        for one in secrets:
            ref = Ref.of(one)
            await requests.delete("v1", ref, ref.uid)
    except (releases.BadRelease, Refusal) as error:
        return f"the records of {owner} stay ({error}), and `helm uninstall` would delete what was taken over: {by_hand}"
    return f"{owner} is taken over whole: its records are deleted"
