"""The services, made once, and a store with one artifact in it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from notary import Shelf, Sigstore, put

from fairlead.drivers.oci.layouts import Layout
from fairlead.drivers.oci.references import Reference


@pytest.fixture(scope="session")
def sigstore() -> Sigstore:
    return Sigstore()


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    store, ref = Layout(tmp_path / "layout"), Reference("registry.test", "shop/app", "1.0")
    return Shelf(store, ref, asyncio.run(put(store, ref, "hello")))
