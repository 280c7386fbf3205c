"""The worker's image as far as it can be made without an engine, once for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dagy_queue.local.stack import LocalStack
from tests.image.dockerfile_kit import Emulated, can_be_emulated

IMAGE = "acme/flows"
"""A user's own image, in which dagy-worker is installed: to the local ECS it is the emulated one."""


@pytest.fixture(scope="session")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Emulated:
    """Do what the Dockerfile's first stage says: a bare environment, the pinned dependencies, and the wheel."""
    if not can_be_emulated():
        pytest.skip("needs Linux with user namespaces")
    image = Emulated(tmp_path_factory.mktemp("image"))
    image.make()
    return image


@pytest.fixture(scope="session")
def cluster(emulated: Emulated, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack whose ECS has the image, with a dispatcher and a bridge."""
    images = {f"{IMAGE}:*": emulated.command()}
    with LocalStack(data_dir=tmp_path_factory.mktemp("stack"), images=images) as stack:
        stack.spawn("dispatcher")
        stack.spawn("bridge", environment={"DAGY_QUEUE__BRIDGE__WAIT_SECONDS": "2"})
        yield stack
