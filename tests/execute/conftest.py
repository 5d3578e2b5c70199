"""A folder of its own for every test's study, and one Ray cluster for all tests that use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from expand3d.execute.ray_access import admitted
from tests.helpers import ROOT


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """Two CPUs of Ray on this machine, whatever it has."""
    import ray

    with pytest.MonkeyPatch.context() as patch, admitted(None) as here:
        patch.setenv("PYTHONPATH", str(ROOT))  # where the workers find the helpers
        ray.init(here, num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


@pytest.fixture(autouse=True)
def _where_ray_is_used(request: pytest.FixtureRequest) -> None:
    name = getattr(request.node, "callspec", None) and request.node.callspec.params.get("name")
    if name == "ray":
        request.getfixturevalue("cluster")
