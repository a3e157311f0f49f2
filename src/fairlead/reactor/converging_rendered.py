"""Makes of a rendering what converge applies: the waist between `render` and `converge`, which do not know each other."""

from __future__ import annotations

import hashlib
import json

from fairlead.converge.stages import Check, Desired, Instance, Moment, Stage
from fairlead.render import packages
from fairlead.render.packages import Rendered


def desired(
    rendered: Rendered, instance: Instance, *, source: str = "", digest: str = "", moment: Moment = "install"
) -> Desired:
    """Return what the rendering asks to be, for the instance at a moment. Without a digest it gets one of its objects'."""
    made = tuple(stage(one) for one in rendered.stages)
    if not digest:
        written = json.dumps([one.objects for one in made], sort_keys=True, default=str)
        digest = f"sha256:{hashlib.sha256(written.encode()).hexdigest()}"
    return Desired(
        instance=instance,
        stages=made,
        source=source,
        package=rendered.package,
        version=rendered.version,
        digest=digest,
        notes=rendered.notes,
        moment=moment,
    )


def stage(one: packages.Stage) -> Stage:
    """Return a rendering's stage as converge has it."""
    return Stage(
        name=one.name,
        objects=one.objects,
        checks=tuple(check(each) for each in one.checks),
        moments=one.moments,
        one_off=one.one_off,
        cleanup=one.cleanup,
        wait=one.wait,
    )


def check(one: packages.Check) -> Check:
    """Return a rendering's check as converge has it."""
    return Check(
        api_version=one.api_version,
        kind=one.kind,
        namespace=one.namespace,
        name=one.name,
        current=one.current,
        failed=one.failed,
        in_progress=one.in_progress,
    )
