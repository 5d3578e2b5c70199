"""Tests of an export target are skipped where its packages are missing."""

from __future__ import annotations

import pytest

from expand3d.core.plugins import FORMATS
from expand3d.interop.verify import absent


@pytest.fixture(autouse=True)
def target_is_here(request: pytest.FixtureRequest) -> None:
    """Skip where a target's packages are not installed: `test_onnx.py` holds that refusal."""
    callspec = getattr(request.node, "callspec", None)
    target = callspec.params.get("target") if callspec else None
    if target in FORMATS and (missing := absent(FORMATS[target].needs)):
        pytest.skip(f"{target} needs {', '.join(missing)}")
