"""Names of artifacts, digests, and what manifests say: what is read, and what is refused with which words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.drivers.oci.descriptors import (
    DOCKER_MANIFEST,
    INDEX,
    MANIFEST,
    Checking,
    Descriptor,
    Manifest,
    digest_of,
)
from fairlead.drivers.oci.errors import BadDigest, BadReference, RegistryError, TooLarge
from fairlead.drivers.oci.references import Reference, is_loopback

SHA = f"sha256:{'0a' * 32}"


@pytest.mark.parametrize(
    ("text", "host", "repository", "tag", "digest"),
    [
        ("oci://ghcr.io/org/app:1.2.3", "ghcr.io", "org/app", "1.2.3", ""),
        ("ghcr.io/org/app", "ghcr.io", "org/app", "", ""),
        (f"oci://localhost:5000/a@{SHA}", "localhost:5000", "a", "", SHA),
        (f"registry.example.com:5000/a/b/c:x@{SHA}", "registry.example.com:5000", "a/b/c", "x", SHA),
        ("nginx", "docker.io", "library/nginx", "", ""),
        ("nginx:1.25", "docker.io", "library/nginx", "1.25", ""),
        ("org/app:1", "docker.io", "org/app", "1", ""),
        ("index.docker.io/nginx", "docker.io", "library/nginx", "", ""),
        ("oci://docker.io/org/app", "docker.io", "org/app", "", ""),
        ("localhost/app", "localhost", "app", "", ""),
        ("oci://host/app", "host", "app", "", ""),
        ("oci://[::1]:5000/app:2", "[::1]:5000", "app", "2", ""),
        ("oci://GHCR.io/a__b/c--d.e_f", "ghcr.io", "a__b/c--d.e_f", "", ""),
        (f"oci://h/a@sha512:{'ab' * 64}", "h", "a", "", f"sha512:{'ab' * 64}"),
    ],
)
def test_a_name_is_read(text: str, host: str, repository: str, tag: str, digest: str) -> None:
    found = Reference.parse(text)
    assert (found.host, found.repository, found.tag, found.digest) == (host, repository, tag, digest)
    assert Reference.parse(found.url) == found
    assert host in {"h", "host"} or Reference.parse(str(found)) == found  # such a host wants the scheme


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("oci://ghcr.io", "there is no repository"),
        ("oci://ghcr.io/", "there is no repository"),
        ("oci://ghcr.io/Org/App:1", "in lower case: org/app"),
        ("https://ghcr.io/org/app", "begins with oci://"),
        ("oci://ghcr.io/org/app:", "no tag"),
        ("oci://ghcr.io/org/app:a b", "no tag"),
        (f"oci://ghcr.io/org/app:{'x' * 129}", "no tag"),
        ("oci://ghcr.io/org/app@sha256:abc", "64 hexadecimal digits"),
        ("oci://ghcr.io/org/app@md5:d41d8cd98f00b204e9800998ecf8427e", "md5 is not supported"),
        ("oci://ghcr.io/org/app@nothing", "no digest"),
        ("oci://ghcr.io/org//app", "cannot be part"),
        ("oci://ghcr.io/../app", "cannot be part"),
        ("oci://host:99999/app", "no port"),
        ("oci://user:secret@host/app", "no digest"),
        ("oci://ho_st/app", "no host"),
        ("oci://[::zz]:1/app", "no host"),
        (f"oci://host/{'a/' * 200}a", "at most 255"),
        ("", "there is no repository"),
    ],
)
def test_what_names_nothing_is_refused_with_what_would_be_right(text: str, says: str) -> None:
    with pytest.raises(BadReference) as caught:
        Reference.parse(text)
    assert says in str(caught.value)


@given(st.text(max_size=60) | st.from_regex(r"(oci://)?[a-z0-9.:/@_-]{0,60}", fullmatch=True))
def test_any_text_is_a_name_that_reads_back_or_a_bad_reference(text: str) -> None:
    try:
        found = Reference.parse(text)
    except BadReference:
        return
    assert Reference.parse(found.url) == found
    assert ".." not in found.repository.split("/")


def test_this_machine_is_known_by_its_names() -> None:
    here = ["localhost", "localhost:5000", "127.0.0.1:1", "127.9.9.9", "[::1]:5000", "a.localhost"]
    assert all(is_loopback(host) for host in here)
    assert not any(
        is_loopback(host) for host in ["localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", "[::2]"]
    )


def test_bytes_are_counted_and_hashed_as_they_pass() -> None:
    wanted = Descriptor.of(b"hello", "text/plain")
    for pieces, error in (([b"he", b"llo!"], TooLarge), ([b"hell"], BadDigest), ([b"hellO"], BadDigest)):
        checking = Checking(wanted, "it")
        with pytest.raises(error):  # noqa: PT012  the first piece too many is refused, or the end
            for piece in pieces:
                checking.add(piece)
            checking.done()
    checking = Checking(Descriptor("text/plain", digest_of(b"hello", "sha512"), 5), "it")
    checking.add(b"hello")
    checking.done()


GOOD = {"mediaType": "text/plain", "digest": SHA, "size": 5}


@pytest.mark.parametrize(
    ("document", "media_type", "says"),
    [
        ([], MANIFEST, "not a JSON object"),
        ({"schemaVersion": 1}, "", "schema 1"),
        ({"config": GOOD, "layers": []}, "text/html", "text/html is no manifest's"),
        ({"config": GOOD, "layers": [], "mediaType": DOCKER_MANIFEST}, MANIFEST, "it says that it is"),
        ({"config": GOOD, "layers": [], "manifests": []}, MANIFEST, "holds manifests"),
        ({"manifests": [], "layers": []}, INDEX, "holds layers"),
        ({"layers": []}, MANIFEST, "there is no config"),
        ({"config": GOOD, "layers": {}, "x": 1}, MANIFEST, ""),
        ({"config": GOOD, "layers": "x"}, MANIFEST, "not a list"),
        ({"config": {**GOOD, "size": -1}, "layers": []}, MANIFEST, "config: size is -1"),
        ({"config": {**GOOD, "size": True}, "layers": []}, MANIFEST, "size is True"),
        ({"config": {**GOOD, "digest": "sha256:../../x"}, "layers": []}, MANIFEST, "config:"),
        ({"config": GOOD, "layers": [GOOD, 7]}, MANIFEST, "layers[1]: not an object"),
        ({"config": GOOD, "layers": [], "annotations": {"a": 1}}, MANIFEST, "not a map of texts"),
    ],
)
def test_manifests_that_contradict_themselves_are_refused(
    document: object, media_type: str, says: str
) -> None:
    body = json.dumps(document).encode()
    if not says:
        assert Manifest.read(body, media_type).layers == ()
        return
    with pytest.raises(RegistryError) as caught:
        Manifest.read(body, media_type, "m")
    assert says in str(caught.value)


def test_a_manifest_says_what_it_is() -> None:
    body = json.dumps({"mediaType": MANIFEST, "config": GOOD, "layers": [GOOD], "subject": GOOD}).encode()
    found = Manifest.read(body, "application/json")
    assert (found.media_type, found.artifact_type) == (MANIFEST, "text/plain")
    assert found.subject is not None
    assert found.subject.digest == SHA
    assert len(found.blobs) == 2
    with pytest.raises(TooLarge):
        Manifest.read(b" " * (5 << 20), MANIFEST)
    with pytest.raises(RegistryError):
        Manifest.read(b"[" * 100_000, MANIFEST)


@settings(max_examples=50)
@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["config", "layers", "manifests", "digest", "size", "mediaType", "subject", "annotations"]), inner, max_size=4)).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_bytes_are_a_manifest_or_an_error_of_a_registry(body: bytes) -> None:
    for kind in (MANIFEST, INDEX, ""):
        try:
            Manifest.read(body, kind)
        except RegistryError:
            continue
