"""Native modules from their text to their objects, and what their authors are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.drivers import definitions
from fairlead.render import modules
from fairlead.render.packages import (
    Capabilities,
    Context,
    Lacking,
    Layer,
    Mistaken,
    Package,
    Rendered,
)
from fairlead.tongues.starlark import Budget
from fairlead.words import Need, Ref

DEFINITIONS = definitions.load()
CASES: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "cases" / "typed_errors_build.yaml").read_text()
)
MANIFEST = """
apiVersion: fairlead.dev/v1alpha1
kind: Module
metadata: {name: web}
spec: {version: 1.0.0}
"""


CONTEXT = Context("web", "shop")


def rendered(
    code: str,
    *layers: Layer,
    files: dict[str, str] | None = None,
    context: Context = CONTEXT,
    manifest: str = MANIFEST,
    answers: dict[Need, Any] | None = None,
    budget: Budget | None = None,
) -> Rendered:
    texts = {"module.yaml": manifest, "module.star": code, **(files or {})}
    package = Package({name: text.encode() for name, text in texts.items()}, "here")
    return modules.render(package, layers, context, answers or {}, definitions=DEFINITIONS, budget=budget)


def mistakes(code: str, **more: Any) -> list[str]:
    with pytest.raises(Mistaken) as told:
        rendered(code, **more)
    return [str(mistake) for mistake in told.value.mistakes]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_what_authors_get_wrong_is_told_in_these_words(case: dict[str, Any]) -> None:
    assert mistakes(case["module"]) == case["mistakes"]


def test_a_mistake_carries_its_line_and_the_calls_that_led_there() -> None:
    code = """
load("@kubernetes/core/v1", "Container")

def container(name):
    return Container(name = name, image = "nginx:1.27", comand = ["sh"])

def build(context, values):
    return [container("web")]
"""
    with pytest.raises(Mistaken) as told:
        rendered(code)
    mistake = told.value.mistakes[0]
    assert mistake.excerpt == '    return Container(name = name, image = "nginx:1.27", comand = ["sh"])'
    assert mistake.excerpt[mistake.column - 1 :].startswith("comand")
    assert [str(where) for where in mistake.trail] == ["module.star:8"]


SHOP = """
load("@kubernetes/apps/v1", "Deployment", "DeploymentSpec")
load("@kubernetes/core/v1", "Container", "PodSpec", "PodTemplateSpec", "Service", "ServiceSpec")

Values = group(
    replicas = integer(2, "How many pods there are", minimum = 1),
    image = group("What runs", repository = text("ghcr.io/shop/web"), tag = text("1.0.0")),
    port = port(8080),
    extra = mapping(text(), {"a": "b"}),
    args = listing(text(), ["-v"]),
)

def build(context, values):
    settings = config_map(context.name + "-settings", {"mode": "fast"} | values.extra)
    mine = selector_labels(context, "web")
    return [
        stage("config", [settings]),
        stage("app", [
            Deployment(
                metadata = {"name": context.name, "namespace": context.namespace, "labels": labels(context, "web")},
                spec = DeploymentSpec(
                    replicas = values.replicas,
                    selector = {"matchLabels": mine},
                    template = PodTemplateSpec(
                        metadata = {"labels": mine},
                        spec = PodSpec(containers = [Container(
                            name = "web",
                            image = image(values.image.repository, values.image.tag),
                            args = values.args,
                            ports = [{"name": "http", "containerPort": values.port}],
                            envFrom = [{"configMapRef": {"name": settings.metadata.name}}],
                        )]),
                    ),
                ),
            ),
            None,
            [Service(metadata = {"name": context.name}, spec = ServiceSpec(selector = mine, ports = [{"port": 80, "targetPort": "http"}]))],
        ], checks = [health("apps/v1", "Deployment", current = "status.readyReplicas == spec.replicas")]),
        test({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "smoke"},
              "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "curl", "image": "curlimages/curl:8.8.0"}]}}}}),
    ]
"""


def test_a_module_gives_stages_of_objects() -> None:
    found = rendered(SHOP, Layer("values.yaml", "replicas: 3\nextra: {c: d}\n"))
    assert [stage.name for stage in found.stages] == ["config", "app", "test"]
    assert (found.package, found.version, found.sort) == ("web", "1.0.0", "module")
    settings, deployment, service = found.objects
    assert settings["data"] == {"mode": "fast", "a": "b", "c": "d"}
    assert settings["immutable"] is True
    assert settings["metadata"]["name"].startswith("web-settings-")
    assert deployment["spec"]["replicas"] == 3
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert container["envFrom"] == [{"configMapRef": {"name": settings["metadata"]["name"]}}]
    assert container["args"] == ["-v"]
    assert list(deployment)[:3] == ["apiVersion", "kind", "metadata"]
    assert service["spec"]["ports"] == [{"port": 80, "targetPort": "http"}]
    assert found.images == ("curlimages/curl:8.8.0", "ghcr.io/shop/web:1.0.0")
    assert found.stages[1].checks[0].current == "status.readyReplicas == spec.replicas"
    assert found.stages[2].moments == {"test"}
    assert found.values["replicas"] == 3
    assert not found.findings


def test_the_same_goes_in_and_the_same_bytes_come_out() -> None:
    once, again = (json.dumps(rendered(SHOP).objects) for _ in range(2))
    assert once == again


def test_the_name_of_a_config_map_follows_its_content() -> None:
    code = (
        "def build(context, values):\n    return [config_map('a', {'k': '%s'}), secret('b', {'k': '%s'})]\n"
    )
    names = [
        [item["metadata"]["name"] for item in rendered(code % (word, word)).objects]
        for word in ("one", "one", "two")
    ]
    assert names[0] == names[1]
    assert not set(names[1]) & set(names[2])


def test_what_a_module_cannot_reach() -> None:
    for name in ("open", "import_module", "time", "random", "os", "__import__", "eval", "exec", "breakpoint"):
        assert "not found" in mistakes(f"x = {name}\ndef build(context, values):\n    return []\n")[0]


def test_files_of_the_package_are_read_and_no_others() -> None:
    code = """
def build(context, values):
    return [config_map("web", files("conf/*.ini") | {"readme": file("README.md")}, hashed_name = False)]
"""
    files = {"conf/a.ini": "a=1", "conf/b.ini": "b=2", "README.md": "hello"}
    assert rendered(code, files=files).objects[0]["data"] == {
        "a.ini": "a=1",
        "b.ini": "b=2",
        "readme": "hello",
    }
    assert mistakes(code, files={"README.txt": ""}) == [
        "module.star:3:64: the package has no file README.md; did you mean README.txt?"
    ]
    for path in ("../secret", "../../etc/passwd"):
        assert "leads out of the package" in mistakes(code.replace("README.md", path))[0]


def test_files_of_the_module_are_loaded_beside_each_other() -> None:
    code = 'load("lib/names.star", "name")\ndef build(context, values):\n    return [config_map(name(context), {"a": "b"})]\n'
    files = {
        "lib/names.star": 'load("more.star", "suffix")\ndef name(context):\n    return context.name + suffix\n',
        "lib/more.star": 'suffix = "-x"\n',
    }
    assert rendered(code, files=files).objects[0]["metadata"]["name"].startswith("web-x-")
    circle = {**files, "lib/more.star": 'load("names.star", "name")\nsuffix = ""\n'}
    assert mistakes(code, files=circle) == [
        "lib/more.star:1:6: files load each other in a circle: lib/names.star loads lib/more.star loads lib/names.star"
    ]
    assert mistakes(code.replace("lib/names", "../names"), files=files) == [
        'module.star:1:6: "../names.star" leads out of the package'
    ]


WITH_LIBRARY = MANIFEST.replace(
    "version: 1.0.0",
    "version: 1.0.0, dependencies: [{name: house, source: 'oci://example.com/house', version: 1.0.0}]",
)
USES_LIBRARY = 'load("@house/web.star", "web")\ndef build(context, values):\n    return web(context)\n'
LIBRARY = 'load("@kubernetes/core/v1", "ConfigMap")\ndef web(context):\n    return [ConfigMap(metadata = {"name": context.name}, data = {"text": file("text")})]\n'


def test_a_library_is_vendored_or_asked_for() -> None:
    vendored = rendered(
        USES_LIBRARY,
        manifest=WITH_LIBRARY,
        files={"vendor/house/web.star": LIBRARY, "vendor/house/text": "theirs", "text": "ours"},
    )
    assert vendored.objects[0]["data"] == {"text": "theirs"}
    need = Need("package.files", Ref("", "", "", "oci://example.com/house"), (("version", "1.0.0"),))
    with pytest.raises(Lacking) as lacking:
        rendered(USES_LIBRARY, manifest=WITH_LIBRARY)
    assert lacking.value.needs == (need,)
    fetched = rendered(
        USES_LIBRARY,
        manifest=WITH_LIBRARY,
        answers={need: {"web.star": LIBRARY.encode(), "text": b"theirs"}},
    )
    assert fetched.objects == vendored.objects


def test_a_mistake_in_a_library_is_placed_there_and_tells_who_called() -> None:
    with pytest.raises(Mistaken) as told:
        rendered(
            USES_LIBRARY,
            manifest=WITH_LIBRARY,
            files={"vendor/house/web.star": LIBRARY.replace(", data =", ", dat ="), "vendor/house/text": ""},
        )
    assert str(told.value).startswith("vendor/house/web.star:3:58: .dat: ConfigMap has no field `dat`")
    assert str(told.value.mistakes[0].trail[0]) == "module.star:3"


CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
spec:
  group: example.com
  names: {kind: Shop}
  versions:
  - name: v1
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            required: [size]
            properties:
              size: {type: integer, minimum: 1, maximum: 9}
              mode: {type: string, enum: [open, closed]}
              code: {type: string, pattern: "^[A-Z]+$", maxLength: 4}
              rooms:
                type: array
                minItems: 1
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items: {type: object, required: [name], properties: {name: {type: string}}}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""


def shop(spec: str) -> str:
    return f'load("@crd/example.com/v1", "Shop")\ndef build(context, values):\n    return [Shop(metadata = {{"name": "a"}}, spec = {spec})]\n'


def test_custom_resources_have_constructors() -> None:
    files = {"schemas/shop.yaml": CRD}
    good = '{"size": 3, "mode": "open", "code": "AB", "rooms": [{"name": "x"}], "free": {"any": [1]}}'
    assert rendered(shop(good), files=files).objects[0]["spec"]["free"] == {"any": [1]}
    wrong = '{"size": 12, "mode": "opn", "code": "ab", "rooms": [{"name": "x"}, {"name": "x"}], "colour": 1}'
    assert [line.partition(": ")[2] for line in mistakes(shop(wrong), files=files)] == [
        ".spec.size: `size` must be between 1 and 9, is 12",
        '.spec.mode: `mode` must be "open" or "closed", is "opn"; did you mean "open"?',
        '.spec.code: `code` must be a text that matches ^[A-Z]+$, is the text "ab"',
        '.spec.rooms[1]: two items of `rooms` have the same name "x": items 0 and 1; each must be another one',
        ".spec.colour: Shop.spec has no field `colour`; it has code, free, mode, rooms, size",
    ]
    plain = 'def build(context, values):\n    return [{"apiVersion": "example.com/v1", "kind": "Shop", "metadata": {"name": "a"}, "spec": {}}]\n'
    assert mistakes(plain, files=files) == ["module.star:1: .spec: Shop.spec needs `size`"]


def test_what_nobody_describes_passes_and_is_told() -> None:
    code = 'def build(context, values):\n    return [{"apiVersion": "other.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {"b": None, "c": [1]}}]\n'
    found = rendered(code)
    assert found.objects[0]["spec"] == {"c": [1]}
    assert [finding.rule for finding in found.findings] == ["module.untyped"]


def test_the_context_is_what_a_build_may_know() -> None:
    code = """
def build(context, values):
    return [config_map("a", {
        "all": " ".join([context.name, context.namespace, str(context.revision), context.moment, context.module, context.version]),
        "kubernetes": "%d.%d %s" % (context.kubernetes.major, context.kubernetes.minor, context.kubernetes.version),
        "serves": str([context.serves("monitoring.coreos.com/v1"), context.serves("x/v1")]),
    }, hashed_name = False)]
"""
    context = Context(
        "n", "ns", 3, "upgrade", Capabilities("v1.31.4", frozenset({"monitoring.coreos.com/v1"}))
    )
    assert rendered(code, context=context).objects[0]["data"] == {
        "all": "n ns 3 upgrade web 1.0.0",
        "kubernetes": "1.31 v1.31.4",
        "serves": "[True, False]",
    }


def test_objects_are_changed_by_making_them_anew() -> None:
    code = """
load("@kubernetes/core/v1", "Pod", "PodSpec", "Container")
def build(context, values):
    pod = Pod(metadata = {"name": "a", "labels": {"x": "y"}}, spec = PodSpec(containers = [Container(name = "c", image = "nginx:1.27")]))
    return [changed(pod, {"metadata": {"name": "b"}, "spec": {"hostNetwork": True}})]
"""
    pod = rendered(code).objects[0]
    assert pod["metadata"] == {"labels": {"x": "y"}, "name": "b"}
    assert pod["spec"]["hostNetwork"] is True
    assert "has no field `hostNetwrk`" in mistakes(code.replace("hostNetwork", "hostNetwrk"))[0]


def test_words_that_python_keeps_are_written_with_an_underscore() -> None:
    code = """
load("@kubernetes/networking/v1", "NetworkPolicy", "NetworkPolicyIngressRule")
def build(context, values):
    return [NetworkPolicy(metadata = {"name": "a"}, spec = {"podSelector": {}, "ingress": [NetworkPolicyIngressRule(from_ = [{"podSelector": {}}])]})]
"""
    assert rendered(code).objects[0]["spec"]["ingress"] == [{"from": [{"podSelector": {}}]}]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ('quantities.total("1Gi", "512Mi")', "1536Mi"),
        ('quantities.times("500m", 3)', "1500m"),
        ('str(quantities.compare("1Gi", "1G"))', "1"),
        ('str(quantities.whole("1Ki"))', "1024"),
        ('str(durations.seconds("1m30s"))', "90"),
        ('base64.encode("hi")', "aGk="),
        ('base64.decode("aGk=")', "hi"),
        ('yaml.encode({"a": [1, None]})', "a:\n- 1\n- null\n"),
        ('json.encode(merged({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": 3}}))', '{"a":{"c":2,"d":3}}'),
        ('sha256("")[:8]', "e3b0c442"),
        ('image("ghcr.io/a/b", "1.0")', "ghcr.io/a/b:1.0"),
        ('image("a:1.0", digest = "sha256:" + "0" * 64)', "a:1.0@sha256:" + "0" * 64),
        ('"{}-x".format(context.name)', "web-x"),
    ],
)
def test_the_prelude_counts_and_encodes(expression: str, value: str) -> None:
    code = f'def build(context, values):\n    return [config_map("a", {{"x": {expression}}})]\n'
    assert rendered(code).objects[0]["data"] == {"x": value}


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("kind: Modul", 'must be "Module", is "Modul"'),
        ("metadata: {name: My Web}", 'must be at most 63 lowercase letters, digits and -, is "My Web"'),
        ("spec: {version: '1.0'}", 'must be a version such as 1.2.3, is "1.0"'),
        ("spec: {version: 1.0.0, kubernets: '>=1.28'}", "there is no such field; did you mean kubernetes?"),
        ("spec: {version: 1.0.0, kubernetes: new}", 'must be a range such as ">=1.28", is "new"'),
        ("spec: {version: 1.0.0, kubernetes: '>=1.40'}", "the module wants Kubernetes >=1.40, the cluster is v1.32.0"),
        ("spec: {version: 1.0.0, dependencies: [{name: crd, source: 'oci://x'}]}", 'must be a name of its own, is "crd"'),
        ("spec: {version: 1.0.0, library: true}", "the module is a library: it has no build of its own"),
    ],
)  # fmt: skip
def test_a_wrong_manifest_is_told(manifest: str, message: str) -> None:
    key = manifest.partition(":")[0]
    lines = [line for line in MANIFEST.strip().splitlines() if not line.startswith(key)]
    found = mistakes("def build(context, values):\n    return []\n", manifest="\n".join([*lines, manifest]))
    assert any(message in line for line in found)


def test_a_mistake_in_a_manifest_has_its_line() -> None:
    with pytest.raises(Mistaken) as told:
        rendered(
            "",
            manifest="apiVersion: fairlead.dev/v1alpha1\nkind: Module\nmetadata:\n  nam: web\nspec: {version: 1.0}\n",
        )
    assert [str(mistake) for mistake in told.value.mistakes] == [
        "module.yaml:4:3: .metadata.nam: there is no such field; did you mean name?",
        "module.yaml:3:1: .metadata.name: must be at most 63 lowercase letters, digits and -, is missing",
        "module.yaml:5:8: .spec.version: must be a version such as 1.2.3, is 1.0",
    ]


def test_what_a_module_prints_is_told_beside() -> None:
    found = rendered('def build(context, values):\n    print("so", 1, [2])\n    return []\n')
    assert [(finding.rule, finding.message) for finding in found.findings] == [("module.print", "so 1 [2]")]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("for i in range(1000000000):\n        pass", "does not end within 100000 steps: is there an endless loop?"),
        ("[i for i in range(1000000000)]", "does not end within 100000 steps"),
        ("again = lambda f: f(f)\n    again(again)", "calls are nested more than 500 deep"),
        ("sorted(range(10), key = lambda i: [j for j in range(1000000)])", "does not end within 100000 steps"),
    ],
)  # fmt: skip
def test_a_module_that_does_not_end_is_ended(body: str, message: str) -> None:
    code = f"def build(context, values):\n    {body}\n    return []\n"
    assert message in mistakes(code, budget=Budget(steps=100_000))[0]


def test_what_one_module_does_another_does_not_see() -> None:
    rendered("text = 5\nstage = 6\ndef build(context, values):\n    return []\n")
    assert rendered(SHOP).objects


def test_a_package_within_a_directory_names_its_files_from_there() -> None:
    files = {
        "apps/web/module.yaml": MANIFEST.encode(),
        "apps/web/module.star": b"def build(context, values):\n    nope\n",
    }
    with pytest.raises(Mistaken) as told:
        modules.render(Package(files, "here", "apps/web"), (), Context("a"), {}, definitions=DEFINITIONS)
    assert str(told.value).startswith("apps/web/module.star:2:5: Variable `nope` not found")


def test_described_tells_values_with_their_lines() -> None:
    package = Package({"module.yaml": MANIFEST.encode(), "module.star": SHOP.encode()}, "here")
    found = modules.described(package, {}, definitions=DEFINITIONS)
    assert found.manifest.name == "web"
    replicas = found.values["fields"]["replicas"]
    assert replicas == {
        "type": "integer",
        "default": 2,
        "doc": "How many pods there are",
        "minimum": 1,
        "where": "module.star:6",
    }


def test_definitions_that_no_code_speaks_of_are_not_read() -> None:
    broken = "spec:\n  group: other.example.com\n  names: {kind: [\n"
    code = "def build(context, values):\n    return []\n"
    assert rendered(code, files={"schemas/other.yaml": broken}).objects == ()
    used = code.replace(
        "[]", '[{"apiVersion": "other.example.com/v1", "kind": "A", "metadata": {"name": "a"}}]'
    )
    assert "the schemas cannot be read" in mistakes(used, files={"schemas/other.yaml": broken})[0]
