"""The levels of pod security: what keeps a pod template from one, and the least change that brings it there.

Checks the fields that a change can mend (Kubernetes' Pod Security Standards, baseline and restricted) and those that stand in the way of mending.
What the API server said is the evidence; a Namespace's label is it in files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fairlead.diagnose.causes import Fact
from fairlead.diagnose.inventories import ANY_MAKER, Inventory, Template
from fairlead.diagnose.proposing import Edit, edit_template
from fairlead.diagnose.references import Container
from fairlead.diagnose.revisions import working
from fairlead.tongues.paths import Path, mapping, mappings, strings, text, words
from fairlead.words import Fix, Ref, Resource, Severity

ENFORCE = "pod-security.kubernetes.io/enforce"
"""The label of a Namespace that names the level below which no pod is let in."""
_VIOLATES = re.compile(r'violates PodSecurity "(restricted|baseline)')
_ROOT = re.compile(r"image will run as root|cannot verify user is non-root|image has non-numeric user")
_DEFAULT_CAPABILITIES = frozenset(
    {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
     "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}
)  # fmt: skip
_NOBODY = 65534


def refused(inventory: Inventory, top: Ref, message: str) -> tuple[str, Path, Fix | None] | None:
    """Return the level that refused a workload's pods, where to change them and how; None if it was none."""
    found = _VIOLATES.search(message)
    if found is None:
        return None
    level = found.group(1)
    told = f"pod security admission refuses its pods: they do not meet the {level} level"
    template = inventory.template_of(inventory.get(top) or {})
    if template is None:
        return told, ("spec",), None
    faults = list(_faults(template, level))
    path = faults[0][1] if faults else (*template.spec_path, "securityContext")
    return told, path, _remedy(inventory, template, level)


def _context(content: Mapping[str, Any]) -> dict[str, Any]:
    return mapping(content, "securityContext")


def _faults(template: Template, level: str) -> Iterator[tuple[str, Path, bool]]:
    """Each thing that keeps the template from the level: what, where, and whether it can be mended without taking something away that it uses."""
    spec, base = template.spec, template.spec_path
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field) is True:
            yield f"{field} is true", (*base, field), False
    for index, volume in mappings(spec, "volumes"):
        if "hostPath" in volume:
            yield f"volume {text(volume, 'name')} is a hostPath", (*base, "volumes", index), False
    if _context(spec).get("runAsUser") == 0 and level == "restricted":
        yield "runAsUser is 0", (*base, "securityContext", "runAsUser"), False
    for container in template.containers():
        context, path = _context(container.content), (*container.path, "securityContext")
        if context.get("privileged") is True:
            yield f"container {container.name} is privileged", (*path, "privileged"), False
        added = words(context, "capabilities", "add")
        allowed = {"NET_BIND_SERVICE"} if level == "restricted" else _DEFAULT_CAPABILITIES
        if set(added) - allowed:
            yield f"container {container.name} adds capabilities", (*path, "capabilities", "add"), False
        for index, port in mappings(container.content, "ports"):
            if port.get("hostPort"):
                yield f"container {container.name} has a host port", (*container.path, "ports", index), False
        if level == "restricted":
            yield from _restricted(spec, container, path)


def _restricted(
    spec: Mapping[str, Any], container: Container, path: Path
) -> Iterator[tuple[str, Path, bool]]:
    context, shared = _context(container.content), _context(spec)
    name = container.name
    if context.get("runAsUser") == 0:
        yield f"container {name} runs as root", (*path, "runAsUser"), False
    if context.get("allowPrivilegeEscalation") is not False:
        yield f"container {name} lets privileges grow", path, True
    if "ALL" not in words(context, "capabilities", "drop"):
        yield f"container {name} does not drop ALL capabilities", path, True
    if context.get("runAsNonRoot", shared.get("runAsNonRoot")) is not True:
        yield f"container {name} may run as root", path, True
    profile = text(context, "seccompProfile", "type") or text(shared, "seccompProfile", "type")
    if profile not in {"RuntimeDefault", "Localhost"}:
        yield f"container {name} has no seccomp profile", path, True


def _remedy(inventory: Inventory, template: Template, level: str) -> Fix | None:
    """The additions that meet the level; None where something that the pod uses would have to go."""
    faults = list(_faults(template, level))
    if not faults or not all(additive for _, _, additive in faults):
        return None
    edits = []
    shared = dict(_context(template.spec))
    before = dict(shared)
    if shared.get("runAsNonRoot") is None:
        shared["runAsNonRoot"] = True
    if shared["runAsNonRoot"] is True and not _somebody(template):
        shared["runAsUser"] = (
            _NOBODY  # most images run as root where nobody says otherwise, and would not start
        )
    if not text(shared, "seccompProfile", "type"):
        shared["seccompProfile"] = {"type": "RuntimeDefault"}
    if shared != before:
        edits.append(Edit((*template.spec_path, "securityContext"), shared))
    for container in template.containers():
        edits += _mended(container)
    fix = edit_template(inventory, template, edits, f"meet the {level} level of pod security")
    if fix is None:
        return None
    risk = "An image that has to be root, or that uses capabilities, will not work so."
    return Fix(title=fix.title, changes=fix.changes, risk=" ".join(part for part in (fix.risk, risk) if part))


def _somebody(template: Template) -> bool:
    """Say whether the template says anywhere which user its containers run as."""
    holders = (template.spec, *(one.content for one in template.containers()))
    return any(_context(one).get("runAsUser") is not None for one in holders)


def _mended(container: Container) -> list[Edit]:
    context = dict(_context(container.content))
    before = dict(context)
    context["allowPrivilegeEscalation"] = False
    if "ALL" not in words(context, "capabilities", "drop"):
        context["capabilities"] = {**mapping(context, "capabilities"), "drop": ["ALL"]}
    if context.get("runAsNonRoot") is False:
        context["runAsNonRoot"] = True
    if context.get("seccompProfile") and text(context, "seccompProfile", "type") == "Unconfined":
        context["seccompProfile"] = {"type": "RuntimeDefault"}
    return [Edit((*container.path, "securityContext"), context)] if context != before else []


def as_somebody(inventory: Inventory, template: Template, container: str, message: str) -> Fix | None:
    """Return the user that lets a container start which may not run as root and whose image does; None if that is not what it lacks."""
    holder = template.container(container)
    if holder is None or not _ROOT.search(message) or working(inventory, template) is not None:
        return None  # where an earlier revision runs, the way back to it is better than a guess
    context = {**_context(holder.content), "runAsUser": _NOBODY}
    fix = edit_template(
        inventory,
        template,
        [Edit((*holder.path, "securityContext"), context)],
        f"run as user {_NOBODY} in container {container}",
    )
    if fix is None:
        return None
    risk = "The image was made to run as another user: it may not be able to write or read its files."
    return Fix(title=fix.title, changes=fix.changes, risk=" ".join(part for part in (fix.risk, risk) if part))


def maker(inventory: Inventory, resource: Resource) -> Iterator[Fact]:
    """A template in files that the level of its Namespace in the files refuses."""
    if inventory.live:
        return
    template = inventory.template_of(resource)
    ref = Ref.of(resource)
    space = Ref("", "Namespace", "", inventory.space(ref))
    level = strings(inventory.get(space), "metadata", "labels").get(ENFORCE, "")
    if template is None or level not in {"restricted", "baseline"}:
        return
    faults = list(_faults(template, level))
    if not faults:
        return
    fix = _remedy(inventory, template, level)
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    yield Fact(
        rule="workload.refused",
        subject=ref,
        detail=level,
        severity=Severity.CRITICAL,
        message=f"pod security admission will refuse its pods: they do not meet the {level} level",
        cause=f"{faults[0][0][0].upper()}{faults[0][0][1:]}{more}.",
        evidence=(
            *(inventory.field(ref, path, what) for what, path, _ in faults[:4]),
            inventory.field(space, ("metadata", "labels", ENFORCE), f"enforce: {level}"),
        ),
        fixes=(fix,) if fix else (),
        where=inventory.where(ref, faults[0][1]),
    )


UNITS = {ANY_MAKER: maker}
