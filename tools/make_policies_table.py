"""Writes docs/policies.md from the code's own tables: `python tools/make_policies_table.py > docs/policies.md`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from fairlead.reactor.policies import DIALECTS
from fairlead.tongues import cel, jmespath
from fairlead.tongues.rego.builtins import BUILTINS

TITLES = {
    "admissionpolicies": "Kubernetes' admission policies",
    "gatekeeper": "Gatekeeper",
    "imagepolicy": "policy-controller (sigstore)",
    "jspolicy": "jsPolicy",
    "kubewarden": "Kubewarden",
    "kyverno": "Kyverno",
    "podsecurity": "Pod Security Standards",
}
NOTES = {
    "admissionpolicies": "In CEL. Bindings, parameters, match conditions, variables, all validation actions, apply "
    "configurations and JSON patches.",
    "gatekeeper": "Templates in Rego (v0 and v1) and in CEL. Constraints of any kind that a template makes, mutators, "
    "expansion of workloads into pods, the inventory of what is there.",
    "jspolicy": "JavaScript in a worker of its own: validating, mutating and controller policies. Neither network nor files; "
    "npm dependencies come in a JsPolicyBundle.",
    "imagepolicy": "Signatures and attestations of images: keys, certificates of identities, logs, timestamps, TrustRoots of one's own; "
    "policies over what was attested in Rego, and in CUE where CUE is installed. Tags become digests. Namespaces take part by "
    "their label `policy.sigstore.dev/include`. Offline, an image is an error; `fairlead judge --verify-images` asks registries.",
    "kubewarden": "WebAssembly in a worker of its own: waPC, WASI, OPA and Gatekeeper modules, from `file://`, `https://` and "
    "`registry://`. Guests may have images' signatures verified.",
    "kyverno": "Validate, mutate, generate, cleanup, exceptions; the older kinds with patterns and JMESPath, and the newer ones in "
    "CEL. Signatures of images (verifyImages, ImageValidatingPolicy) are verified at admission and by "
    "`fairlead judge --verify-images`: cosign's and sigstore's, not Notary's.",
    "podsecurity": "The labels of Namespaces (`pod-security.kubernetes.io/enforce`, `audit`, `warn`), always on; exemptions and "
    "defaults as in the API server's configuration.",
}
HEAD = """\
# Policies

Made by `python tools/make_policies_table.py` from the tables that the program itself reads; a test keeps both the same.

One engine judges. Every format below is a dialect of it: bring the files as they are. Whatever a document says that is not supported becomes
a finding with its path; nothing is passed over in silence.

| where | how |
| --- | --- |
| files, in a pipeline | `fairlead judge -p policies/ manifests/` (`-o table\\|json\\|yaml\\|sarif\\|junit\\|policyreport`, `--fix`) |
| good practice, without any policy; or by Polaris's configuration | `fairlead judge --practices manifests/`, `fairlead judge -p polaris.yaml manifests/`: [practices](practices.md) |
| tests that policies come with | `fairlead judge test policies/` (`kyverno-test.yaml`, `suite.yaml`) |
| what runs | `fairlead judge --cluster` |
| the embedded cluster | apply them with kubectl: requests are judged in process, reports are kept in the background |
| another Kubernetes | `fairlead install admission \\| kubectl apply -f -`, or `fairlead serve admission`; the same with `audit` for reports on what runs |

## Formats
"""


def wrapped(text: str) -> str:
    """Return a paragraph in lines of readable length."""
    return textwrap.fill(text, 130, break_on_hyphens=False, break_long_words=False)


def names(items: Iterable[str]) -> str:
    """Return names as code, in one paragraph."""
    return wrapped(", ".join(f"`{item}`" for item in sorted(items)) + ".")


def lines() -> Iterator[str]:
    """Yield the page's lines."""
    yield HEAD
    for name in sorted(TITLES, key=lambda one: TITLES[one].lower()):
        yield f"### {TITLES[name]}\n"
        yield wrapped(NOTES[name]) + "\n"
        groups: dict[str, list[str]] = {}
        for group, kind in DIALECTS[name].READS:
            groups.setdefault(group, []).append("whatever a template makes" if kind == "*" else f"`{kind}`")
        if name == "podsecurity":
            groups[""] = ["`Namespace` (its labels)"]
        yield "| API group | kinds |\n| --- | --- |"
        for group, kinds in sorted(groups.items()):
            yield f"| {f'`{group}`' if group else 'core'} | {', '.join(sorted(kinds))} |"
        yield ""
    yield "## Languages\n"
    yield "Each is parsed and compiled once, and says where a policy is wrong: line and column. Regular expressions are RE2's: no text makes one slow."
    yield "Evaluations have a budget of steps and memory; one that runs out of it fails alone, and as its policy's failurePolicy says.\n"
    yield "### CEL\n"
    yield (
        wrapped(
            "All standard functions and macros, and these libraries: "
            + names(one.name for one in cel.kubernetes.LIBRARIES)
        )
        + "\n"
    )
    yield "### Rego\n"
    yield (
        wrapped(
            "v0 and v1, and these functions. Those that would reach the network (`http.send`, `net.lookup_ip_addr`) are refused."
        )
        + "\n"
    )
    yield names(BUILTINS) + "\n"
    yield "### JMESPath\n"
    yield "The standard functions and Kyverno's:\n"
    yield names(jmespath.KYVERNO)


if __name__ == "__main__":
    print("\n".join(lines()))
