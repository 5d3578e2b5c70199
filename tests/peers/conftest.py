"""Makes pytorchvideo importable, and says once and clearly where it is not installed."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator

import pytest

MISSING = "pytorchvideo is not installed here; `make test-peers` makes an environment that has it"


@pytest.fixture(scope="session", autouse=True)
def pytorchvideo_is_here() -> Iterator[None]:
    """Skip where the peer is absent, except under `make test-peers`, where that is a failure."""
    if importlib.util.find_spec("pytorchvideo") is None:
        if os.environ.get("EXPAND3D_PEERS") == "required":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    from tests.helpers.torchvision_operators import declare

    library = declare()
    yield
    del library  # torch forgets the schemas when the library goes
