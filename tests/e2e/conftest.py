"""What the scenes with a virtual machine share: the appliance's image, built once or out of the cache."""

from __future__ import annotations

import pytest

from tests.support.vm import Image, built_image


@pytest.fixture(scope="session")
def image() -> Image:
    return built_image()
