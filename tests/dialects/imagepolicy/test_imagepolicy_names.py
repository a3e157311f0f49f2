"""Names and globs as policy-controller compares them."""

from __future__ import annotations

import pytest

from fairlead.dialects.imagepolicy.names import BadName, glob, whole

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("nginx", "index.docker.io/library/nginx:latest"),
        ("docker.io/nginx:1", "index.docker.io/library/nginx:1"),
        ("shop/web", "index.docker.io/shop/web:latest"),
        ("ghcr.io/shop/web:1", "ghcr.io/shop/web:1"),
        ("localhost:5000/web", "localhost:5000/web:latest"),
        ("localhost/web", "localhost/web:latest"),
        (f"ghcr.io/shop/web:1@{DIGEST}", f"ghcr.io/shop/web@{DIGEST}"),
    ],
)
def test_whole_names(image: str, name: str) -> None:
    assert whole(image) == name


@pytest.mark.parametrize("image", ["", "!", "a@sha256:1", "Ghcr.io/Shop/web", "a:?", "host:x/a"])
def test_what_is_no_name(image: str) -> None:
    with pytest.raises(BadName):
        whole(image)


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*", "index.docker.io/library/nginx:latest", True),
        ("*", "index.docker.io/shop/web:latest", False),
        ("*/*", "index.docker.io/shop/web:latest", True),
        ("**", "ghcr.io/a/b/c:1", True),
        ("ghcr.io/a/*", "ghcr.io/a/b:1", True),
        ("ghcr.io/a/*", "ghcr.io/a/b/c:1", False),
        ("ghcr.io/a/**", "ghcr.io/a/b/c:1", True),
        ("ghcr.io/a/b:*", f"ghcr.io/a/b@{DIGEST}", False),
        ("ghcr.io/a/b*", f"ghcr.io/a/b@{DIGEST}", True),
        ("ghcr.io/a/b", "ghcr.io/a/b:latest", False),
        ("ghcrxio/a/b*", "ghcr.io/a/b:1", False),
    ],
)
def test_globs(pattern: str, name: str, fits: bool) -> None:
    assert glob(pattern)(name) is fits


@pytest.mark.parametrize("pattern", ["", "a b", "a|b", "[a]", "a?"])
def test_what_is_no_glob(pattern: str) -> None:
    with pytest.raises(BadName, match="glob is invalid"):
        glob(pattern)
