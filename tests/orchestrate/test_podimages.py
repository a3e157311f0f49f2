"""Images: names, policies, what is told, and how long to wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fairlead.orchestrate.backoffs import Backoffs
from fairlead.orchestrate.podimages import Pull, Use, Wait, image_step, pull_failed, pull_policy, reference
from fairlead.orchestrate.runtimes import ImageSeen

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SEEN = ImageSeen(id="sha256:1", names=("docker.io/shop/web:1.0",), size=1)


def step(
    container: dict[str, Any], found: ImageSeen | None, backoffs: Backoffs | None = None, said: str = ""
) -> Any:
    return image_step(container, found, backoffs or Backoffs(), said, now=NOW, field="f")


@pytest.mark.parametrize(
    ("image", "full"),
    [
        ("busybox", "busybox:latest"),
        ("busybox:1.36", "busybox:1.36"),
        ("registry.example:5000/a/b", "registry.example:5000/a/b:latest"),
        ("a/b@sha256:" + "0" * 64, "a/b@sha256:" + "0" * 64),
        ("a/b:1@sha256:" + "0" * 64, "a/b:1@sha256:" + "0" * 64),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
    ],
)
def test_references(image: str, full: str) -> None:
    assert reference(image) == full


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("Shop/Web", "invalid reference format: repository name must be lowercase"),
        ("web:", "invalid reference format"),
        ("web tag", "invalid reference format"),
        ("", "invalid reference format"),
        ("web:1:2", "invalid reference format"),
    ],
)
def test_bad_references(image: str, why: str) -> None:
    found = step({"name": "web", "image": image}, None)
    assert isinstance(found, Wait)
    assert found.reason == "InvalidImageName"
    assert (
        found.message
        == f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": {why}'
    )
    assert [note.message for note in found.notes] == [found.message, "Error: InvalidImageName"]


@pytest.mark.parametrize(
    ("container", "policy"),
    [
        ({"image": "a"}, "Always"),
        ({"image": "a:latest"}, "Always"),
        ({"image": "a:1"}, "IfNotPresent"),
        ({"image": "a@sha256:" + "0" * 64}, "IfNotPresent"),
        ({"image": "a", "imagePullPolicy": "Never"}, "Never"),
    ],
)
def test_policies(container: dict[str, Any], policy: str) -> None:
    assert pull_policy(container) == policy


def test_an_image_that_is_here_is_used() -> None:
    found = step({"name": "web", "image": "shop/web:1.0"}, SEEN)
    assert isinstance(found, Use)
    assert found.notes[0].message == 'Container image "shop/web:1.0" already present on machine'


def test_an_image_that_is_not_is_pulled_and_always_means_always() -> None:
    absent = step({"name": "web", "image": "shop/web:1.0"}, None)
    always = step({"name": "web", "image": "shop/web:1.0", "imagePullPolicy": "Always"}, SEEN)
    assert isinstance(absent, Pull)
    assert isinstance(always, Pull)
    assert absent.notes[0].message == 'Pulling image "shop/web:1.0"'


def test_never_waits() -> None:
    found = step({"name": "web", "image": "shop/web:1.0", "imagePullPolicy": "Never"}, None)
    assert (found.reason, found.message) == (
        "ErrImageNeverPull",
        'Container image "shop/web:1.0" is not present with pull policy of Never',
    )


def test_after_a_failure_comes_the_back_off() -> None:
    container = {"name": "web", "image": "shop/web:1.0"}
    failed = pull_failed(container, "no such host", "f")
    assert (failed.reason, failed.message) == ("ErrImagePull", "no such host")
    assert [note.message for note in failed.notes] == [
        'Failed to pull image "shop/web:1.0": no such host',
        "Error: ErrImagePull",
    ]
    backoffs = Backoffs().lengthen("shop/web:1.0", NOW, NOW - timedelta(seconds=5))
    waiting = step(container, None, backoffs, "no such host")
    assert waiting.reason == "ImagePullBackOff"
    assert waiting.message == 'Back-off pulling image "shop/web:1.0": ErrImagePull: no such host'
    assert [note.message for note in waiting.notes] == [
        'Back-off pulling image "shop/web:1.0"',
        "Error: ImagePullBackOff",
    ]
    over = Backoffs().lengthen("shop/web:1.0", NOW, NOW - timedelta(seconds=10))
    assert isinstance(step(container, None, over), Pull)
