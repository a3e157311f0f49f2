"""A fix in the files: the right lines, and nothing where the files say something else."""

from __future__ import annotations

from typing import Any

import yaml

from fairlead.diagnose.proposing import Edit, anew, delete, patch
from fairlead.reactor.examine import read_files
from fairlead.reactor.patching import Patched, write
from fairlead.words import Change, Fix, Ref, Resource

FILE = """\
# the shop
apiVersion: v1
kind: Service
metadata: {name: web}   # found by its name
spec:
  selector: {app: wbe}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: once
spec:
  template:
    spec:
      containers:
        - name: main
          image: a:1  # pinned
"""


def written(fix: Fix, text: str = FILE, originals: dict[Ref, Resource] | None = None) -> Patched:
    texts = {"shop.yaml": text}
    documents, _ = read_files(texts)
    return write(fix, texts, documents, originals)


def live(index: int, **spec: Any) -> Resource:
    resource: Resource = list(yaml.safe_load_all(FILE))[index]
    resource["metadata"] |= {"namespace": "shop", "uid": "u", "resourceVersion": "7"}
    resource["spec"] |= spec
    return resource


def test_a_patch_of_the_cluster_is_a_patch_of_the_file() -> None:
    service = live(0, clusterIP="10.0.0.1")
    fix = Fix(title="t", changes=(patch(service, [Edit(("spec", "selector", "app"), "web")], "why"),))
    patched = written(fix)
    assert patched.whole
    assert patched.diff({"shop.yaml": "deploy/shop.yaml"}) == (
        "--- a/deploy/shop.yaml\n+++ b/deploy/shop.yaml\n@@ -3,7 +3,7 @@\n kind: Service\n"
        " metadata: {name: web}   # found by its name\n spec:\n-  selector: {app: wbe}\n+  selector: {app: web}\n"
        " ---\n apiVersion: batch/v1\n kind: Job\n"
    )


def test_what_is_made_anew_on_a_cluster_changes_its_document_only_where_it_differs() -> None:
    job = live(1, backoffLimit=6, suspend=False)
    changes = anew(job, [Edit(("spec", "template", "spec", "containers", 0, "image"), "a:2")], "why")
    patched = written(Fix(title="t", changes=changes), originals={Ref.of(job): job})
    assert patched.texts == {"shop.yaml": FILE.replace("a:1 ", "a:2 ")}


def test_two_changes_in_one_file_and_a_pod_that_leaves_no_trace() -> None:
    job, service = live(1), live(0)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}}
    fix = Fix(
        title="t",
        changes=(
            patch(service, [Edit(("spec", "type"), "NodePort")], "why"),
            patch(job, [Edit(("spec", "suspend"), True)], "why"),
            delete(pod, "why"),
        ),
    )
    patched = written(fix)
    assert patched.left == []
    service, job = yaml.safe_load_all(patched.texts["shop.yaml"])
    assert (service["spec"]["type"], job["spec"]["suspend"]) == ("NodePort", True)
    assert "# pinned" in patched.texts["shop.yaml"]


def test_a_file_that_says_something_else_is_left_alone() -> None:
    service = live(0)
    service["spec"]["selector"]["app"] = "drifted"
    patched = written(
        Fix(title="t", changes=(patch(service, [Edit(("spec", "selector", "app"), "web")], "why"),))
    )
    assert (patched.whole, patched.texts) == (False, {})
    assert "the file says something else than the cluster" in patched.left[0]


def test_what_has_no_place_in_the_files_is_said() -> None:
    new = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "new"}}
    other = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "none", "namespace": "shop"},
        "data": {"a": "b"},
    }
    service = live(0)
    fix = Fix(
        title="t",
        changes=(
            Change(verb="create", ref=Ref.of(new), api_version="v1", body=new),
            patch(other, [Edit(("data", "a"), "c")], "why"),
            Change(verb="delete", ref=Ref.of(service), api_version="v1"),
            Change(verb="patch", ref=Ref.of(service), api_version="v1", body={}, patch="strategic"),
        ),
    )
    said = " / ".join(written(fix).left)
    for part in ("not written in these files", "take", "do so by hand", "strategic patch"):
        assert part in said


def test_the_last_line_without_an_end() -> None:
    text = FILE.rstrip("\n").removesuffix("  # pinned")
    fix = Fix(
        title="t",
        changes=(patch(live(1), [Edit(("spec", "template", "spec", "containers", 0, "image"), "b")], "w"),),
    )
    assert (
        written(fix, text)
        .diff()
        .endswith(
            "-          image: a:1\n\\ No newline at end of file\n+          image: b\n\\ No newline at end of file\n"
        )
    )
