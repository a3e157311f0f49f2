"""Bundles and runtimes, read through real CUE."""

from __future__ import annotations

import base64
import importlib.util
import json
from collections.abc import Mapping

import pytest

from fairlead.dialects import timoni
from fairlead.drivers import cue
from fairlead.render.packages import Layer, Mistaken
from fairlead.words import Ref, Where

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("fairlead_cue") is None,
    reason="fairlead-cue is not installed: tools/setup.sh cue",
)

BUNDLE = """bundle: {
	_cluster: {
		name: "local" @timoni(runtime:string:TIMONI_CLUSTER_NAME)
		env:  string  @timoni(runtime:string:TIMONI_CLUSTER_GROUP)
	}
	_replicas: *1 | int @timoni(runtime:number:REPLICAS)

	apiVersion: "v1alpha1"
	name:       "shop"
	instances: {
		redis: {
			module: {
				url:     "oci://ghcr.io/example/modules/redis"
				version: "7.2.1"
				digest:  "sha256:abc"
			}
			namespace: "shop"
			values: maxmemory: 256
		}
		"web-\\(_cluster.env)": {
			module: url: "file://./web"
			namespace: "shop"
			values: {
				replicas: _replicas
				if _cluster.env == "production" {
					tls: true
				}
				host: "\\(_cluster.name).example.com"
			}
		}
	}
}
"""


def bundle(values: Mapping[str, str], *files: Layer) -> timoni.Bundle:
    layers = files or (Layer("deploy/bundle.cue", BUNDLE),)
    return timoni.read_bundle(layers, cue.evaluate(timoni.bundle_question(layers, values)))


def test_a_bundle_has_instances_in_order_with_values_of_the_runtime() -> None:
    cluster = timoni.Cluster("eu", "production", "ctx")
    found = bundle({"REPLICAS": "3", **cluster.values()})
    assert found.name == "shop"
    redis, web = found.instances
    assert redis == timoni.Instance(
        *("redis", "shop", "oci://ghcr.io/example/modules/redis", "7.2.1", "sha256:abc"),
        {"maxmemory": 256},
        Where("deploy/bundle.cue", 13, ".bundle.instances.redis.module.url"),
    )
    assert (web.name, web.url, web.version, web.digest) == ("web-production", "file://./web", "latest", "")
    assert web.values == {"replicas": 3, "tls": True, "host": "eu.example.com"}
    assert web.written.file == "deploy/bundle.cue"
    assert json.loads(web.layer().text) == {"values": web.values}


def test_what_no_value_was_given_for_keeps_its_default_or_is_a_mistake() -> None:
    assert bundle({"TIMONI_CLUSTER_GROUP": "test"}).instances[1].values["host"] == "local.example.com"
    with pytest.raises(Mistaken) as raised:
        bundle({})
    assert "deploy/bundle.cue" in str(raised.value)


def test_a_bundle_may_be_in_several_files_of_several_sorts() -> None:
    found = bundle(
        {},
        Layer(
            "bundle.cue",
            'bundle: {apiVersion: "v1alpha1", name: string, instances: a: {namespace: string, module: url: "oci://x/y"}}',
        ),
        Layer("more.yaml", "bundle:\n  name: three\n"),
        Layer("most.json", '{"bundle": {"instances": {"a": {"namespace": "spaces"}}}}'),
    )
    assert found.name == "three"
    assert found.instances[0].namespace == "spaces"


WRONG = {
    'bundle: {apiVersion: "v1alpha1", name: "b", instances: a: {namespace: "n", modul: url: "oci://x"}}': (
        "b.cue:1:76: .bundle.instances.a.modul: field not allowed"
    ),
    'bundle: {apiVersion: "v1alpha1", name: "b", instances: A: {namespace: "n", module: url: "oci://x"}}': (
        "b.cue:1:56: .bundle.instances.A: field not allowed"
    ),
    'bundle: {apiVersion: "v1alpha1", name: "b", instances: a: {namespace: "n", module: url: "http://x"}}': (
        'b.cue:1:89: .bundle.instances.a.module.url: invalid value "http://x" (out of bound =~"^(oci|file)://.*$")'
    ),
    'bundle: {apiVersion: "v1alpha1", instances: {}}': ".bundle.name: incomplete value",
    "bundles: {}": ".bundle.apiVersion: incomplete value",
    "bundle: {": "b.cue:1:10: expected '}', found 'EOF'",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_bundle_is_told_where_it_is_wrong(text: str) -> None:
    with pytest.raises(Mistaken) as raised:
        bundle({}, Layer("b.cue", text))
    assert any(WRONG[text] in str(one) for one in raised.value.mistakes), str(raised.value)


def test_a_file_of_another_sort_is_no_bundle() -> None:
    with pytest.raises(Mistaken, match=r"bundle.toml: it is neither CUE, YAML nor JSON"):
        timoni.bundle_question([Layer("bundle.toml", "")], {})


RUNTIME = """runtime: {
	apiVersion: "v1alpha1"
	name:       "fleet"
	clusters: {
		"staging-eu": {group: "staging", kubeContext: "eu-1"}
		"prod-eu": {group: "production", kubeContext: "eu-2"}
		"prod-us": {group: "production", kubeContext: "us-1"}
	}
	values: [
		{query: "k8s:v1:Secret:infra:redis", for: {REDIS_PASS: "obj.data.password", REDIS_HOST: "\\"\\\\(obj.metadata.name).svc\\""}},
		{query: "k8s:apps/v1:Deployment:shop:web", for: REPLICAS: "obj.spec.replicas", optional: true},
		{query: "k8s:v1:Node:one", for: READY: "len(obj.metadata.labels) > 0", optional: true},
	]
}
"""


def runtime(text: str) -> timoni.Runtime:
    layers = [Layer("runtime.cue", text)]
    return timoni.read_runtime(layers, cue.evaluate(timoni.runtime_question(layers)))


def test_a_runtime_has_clusters_in_order_and_queries() -> None:
    found = runtime(RUNTIME)
    assert [(one.name, one.group, one.context) for one in found.clusters] == [
        ("staging-eu", "staging", "eu-1"),
        ("prod-eu", "production", "eu-2"),
        ("prod-us", "production", "us-1"),
    ]
    assert [one.name for one in found.selected(group="production")] == ["prod-eu", "prod-us"]
    assert [one.name for one in found.selected(name="prod-us")] == ["prod-us"]
    secret, deployment, node = found.queries
    assert (secret.ref, secret.api_version, secret.optional) == (
        Ref("", "Secret", "infra", "redis"),
        "v1",
        False,
    )
    assert (deployment.ref, deployment.api_version) == (Ref("apps", "Deployment", "shop", "web"), "apps/v1")
    assert node.ref == Ref("", "Node", "", "one")


def test_values_are_read_from_objects() -> None:
    secret, deployment, node = runtime(RUNTIME).queries
    objects = {
        secret: {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "redis"},
            "data": {"password": base64.b64encode(b"s3cret").decode()},
        },
        deployment: {"kind": "Deployment", "spec": {"replicas": 3}},
        node: None,
    }
    answer = cue.evaluate(timoni.queries_question(objects, objects))
    assert timoni.read_queries(answer) == {"REDIS_PASS": "s3cret", "REDIS_HOST": "redis.svc", "REPLICAS": "3"}


def test_an_object_that_must_be_there_and_is_not_is_a_mistake() -> None:
    secret, *_ = runtime(RUNTIME).queries
    with pytest.raises(
        Mistaken, match=r"runtime.cue: .runtime.values\[0\].query: there is no Secret infra/redis"
    ):
        timoni.queries_question([secret], {})


def test_an_expression_that_finds_nothing_is_a_mistake() -> None:
    _, deployment, _ = runtime(RUNTIME).queries
    answer = cue.evaluate(
        timoni.queries_question([deployment], {deployment: {"kind": "Deployment", "spec": {}}})
    )
    with pytest.raises(Mistaken, match=r"the values of Deployment shop/web.*undefined field: replicas"):
        timoni.read_queries(answer)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("v1:Secret:a:b", "is no query of a cluster"),
        ("k8s:v1:Secret", "names no object"),
        ("k8s:v1:Secret:a:b:c", "names no object"),
        ("k8s:v1::a:b", "names no object"),
    ],
)
def test_a_query_that_names_no_object_is_a_mistake(query: str, why: str) -> None:
    text = f'runtime: {{apiVersion: "v1alpha1", name: "x", values: [{{query: "{query}", for: A: "obj.x"}}]}}'
    with pytest.raises(Mistaken, match=why):
        runtime(text)
