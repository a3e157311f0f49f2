"""The Accept header chooses the form of an answer as in Kubernetes."""

from __future__ import annotations

import pytest

from fairlead.faces.kube.negotiating import As, Wanted, wanted
from fairlead.keep.errors import Refusal

ALL: frozenset[As] = frozenset({"", "Table", "PartialObjectMetadata", "APIGroupDiscoveryList"})
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", Wanted()),
        ("*/*", Wanted()),
        ("application/json", Wanted()),
        ("application/json, */*", Wanted()),
        ("application/vnd.kubernetes.protobuf", Wanted()),
        ("application/vnd.kubernetes.protobuf,application/json", Wanted()),
        ("application/yaml", Wanted("application/yaml")),
        ("application/json;q=0.5, application/yaml", Wanted("application/yaml")),
        ("text/html, application/json", Wanted()),
        (TABLE, Wanted("application/json", "Table")),
        (
            f"{TABLE.replace('v1', 'v1beta1')},application/json",
            Wanted("application/json", "Table", "v1beta1"),
        ),
        (f"application/json;as=Table;v=v9;g=meta.k8s.io,{TABLE}", Wanted("application/json", "Table")),
        ("application/json;as=Unheard;v=v1;g=meta.k8s.io,application/json", Wanted()),
        (
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
            Wanted("application/json", "APIGroupDiscoveryList", "v2"),
        ),
        (
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            Wanted("application/json", "PartialObjectMetadata"),
        ),
    ],
)
def test_the_first_form_that_fits_wins(accept: str, expected: Wanted) -> None:
    assert wanted(accept, ALL) == expected


@pytest.mark.parametrize(
    "accept", ["text/html", "image/png, text/plain", "application/json;q=0", "application/cbor"]
)
def test_what_cannot_be_served_is_406(accept: str) -> None:
    with pytest.raises(
        Refusal, match="only the following media types are accepted: application/json"
    ) as told:
        wanted(accept, ALL)
    assert told.value.code == 406


def test_a_table_is_not_on_offer_everywhere() -> None:
    with pytest.raises(Refusal):
        wanted(TABLE, frozenset({""}))
    assert wanted(f"{TABLE},application/json", frozenset({""})) == Wanted()
