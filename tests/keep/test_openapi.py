"""OpenAPI documents: what kubectl's explain and its check for server-side validation look for."""

from collections.abc import Iterator
from typing import Any

from fairlead.drivers import definitions
from fairlead.keep import extensions, openapi
from fairlead.keep.kinds import Catalogue, Kind
from fairlead.keep.schemas import Schemas

SCHEMAS = Schemas(definitions.load())
WIDGET = Kind("example.com", "v1", "Widget", "widgets")


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref" and isinstance(item, str):
                yield item
            else:
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def document(place: str) -> dict[str, Any]:
    found = openapi.document(Catalogue(), SCHEMAS, place)
    assert found is not None
    return found


def test_every_group_version_has_a_document_whose_references_resolve() -> None:
    places = openapi.index(Catalogue(), SCHEMAS)["paths"]
    assert "api/v1" in places
    assert "apis/apps/v1" in places
    for place, entry in places.items():
        assert entry["serverRelativeURL"].startswith(f"/openapi/v3/{place}?hash=")
        found = document(place)
        names = {f"#/components/schemas/{name}" for name in found["components"]["schemas"]}
        assert set(references(found)) <= names
        assert all(found["components"]["schemas"].values())


def test_what_is_not_served_has_no_document() -> None:
    assert openapi.document(Catalogue(), SCHEMAS, "apis/nobody/v1") is None


def test_a_patch_says_whose_it_is_and_that_the_server_validates() -> None:
    patch = document("apis/apps/v1")["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"][
        "patch"
    ]
    assert patch["x-kubernetes-group-version-kind"] == {
        "group": "apps",
        "kind": "Deployment",
        "version": "v1",
    }
    assert {"fieldValidation", "dryRun"} <= {
        one["name"] for one in patch["parameters"] if one["in"] == "query"
    }
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]


def test_fields_are_described_as_kubernetes_describes_them() -> None:
    schemas = document("api/v1")["components"]["schemas"]
    spec = schemas["io.k8s.api.core.v1.PodSpec"]
    assert spec["required"] == ["containers"]
    containers = spec["properties"]["containers"]
    assert containers["type"] == "array"
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert schemas["io.k8s.api.core.v1.Pod"]["properties"]["spec"]["allOf"] == [
        {"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}
    ]
    assert "enum" not in schemas["io.k8s.api.core.v1.Pod"]["properties"]["kind"]
    port = schemas["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]
    assert port["oneOf"] == [{"type": "integer"}, {"type": "string"}]


def test_custom_resources_are_described_too_and_change_the_hash() -> None:
    catalogue, schemas = Catalogue(), SCHEMAS.copy()
    catalogue.add(WIDGET)
    bare = openapi.index(catalogue, schemas)["paths"]["apis/example.com/v1"]
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"spec": {"type": "object", "description": "What it is."}},
    }
    extensions.teach(extensions.Version(kind=WIDGET, storage=True, schema=schema), schemas)
    assert openapi.index(catalogue, schemas)["paths"]["apis/example.com/v1"] != bare
    found = openapi.document(catalogue, schemas, "apis/example.com/v1")
    assert found is not None
    widget = found["components"]["schemas"]["com.example.v1.Widget"]
    assert widget["properties"]["spec"]["description"] == "What it is."
    assert widget["x-kubernetes-group-version-kind"] == [
        {"group": "example.com", "kind": "Widget", "version": "v1"}
    ]
    patch = found["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"]["patch"]
    assert "application/strategic-merge-patch+json" not in patch["requestBody"]["content"]
    assert "com.example.v1.WidgetList" in found["components"]["schemas"]
    assert "properties" not in schema["properties"]["spec"]


def test_swagger_has_flat_parameters_and_its_own_references() -> None:
    found = openapi.swagger(Catalogue(), SCHEMAS)
    names = {f"#/definitions/{name}" for name in found["definitions"]}
    assert set(references(found)) <= names
    post = found["paths"]["/api/v1/namespaces/{namespace}/pods"]["post"]
    assert {
        "name": "body",
        "in": "body",
        "required": True,
        "schema": {"$ref": "#/definitions/io.k8s.api.core.v1.Pod"},
    } in post["parameters"]
    assert "requestBody" not in post
