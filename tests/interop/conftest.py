"""Tests of an export target are skipped where its packages are missing; conversions are shared."""

from __future__ import annotations

import hashlib
import importlib
from typing import Any

import pytest

from expand3d.core.plugins import FORMATS
from expand3d.interop.verify import absent

#: What torch's converters made in this process, by the network and what was asked for.
_MADE: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def target_is_here(request: pytest.FixtureRequest) -> None:
    """Skip where a target's packages are not installed: `test_onnx.py` holds that refusal."""
    callspec = getattr(request.node, "callspec", None)
    target = callspec.params.get("target") if callspec else None
    if target in FORMATS and (missing := absent(FORMATS[target].needs)):
        pytest.skip(f"{target} needs {', '.join(missing)}")


@pytest.fixture
def converted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch converts equal networks once in a process; all that is made of it is made anew.

    A conversion takes seconds, and is not what a test of folders, files or verdicts is about.
    """
    for module, name in (("torch.onnx", "export"), ("torch.export", "export")):
        _remember(monkeypatch, module, name)


def _remember(monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> None:
    convert = getattr(importlib.import_module(module), name)

    def remembered(whole: Any, clips: Any, **options: Any) -> Any:
        key = hashlib.sha256(
            repr((module, whole, [(x.shape, x.dtype) for x in clips], options)).encode()
        )
        for tensor in whole.state_dict().values():
            key.update(tensor.numpy().tobytes())
        if key.hexdigest() not in _MADE:
            with pytest.MonkeyPatch.context() as patch:  # the one uses the other
                patch.setattr("torch.export.export", exported)
                _MADE[key.hexdigest()] = convert(whole, clips, **options)
        return _MADE[key.hexdigest()]

    exported = importlib.import_module("torch.export").export
    monkeypatch.setattr(f"{module}.{name}", remembered)
