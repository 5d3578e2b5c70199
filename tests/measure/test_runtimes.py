"""Latency in the runtimes that ship networks: by a clock of our own, and kept once measured."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from expand3d.core.errors import ConfigError
from expand3d.core.genotype import Plan
from expand3d.core.measured import Latency
from expand3d.core.plugins import RUNTIMES
from expand3d.interop.verify import absent
from expand3d.measure.kept import kept_latency
from expand3d.measure.latency import measure_latency
from expand3d.measure.runtimes import is_shipped, refuse_absent
from expand3d.networks import get_family

X3D = get_family("x3d")
TINY = X3D.resolve(X3D.base.replace(gamma_s=32 / 112, gamma_w=0.34, gamma_d=0.2), num_classes=3)


@pytest.mark.parametrize(
    "runtime",
    [
        # In 8 bits the same file is written first.
        pytest.param(name, marks=[pytest.mark.slow] if name == "onnxruntime" else [])
        for name in RUNTIMES
        if is_shipped(name)
    ],
)
def test_a_pass_is_timed_in_the_runtime(runtime: str) -> None:
    if absent(RUNTIMES[runtime].needs):
        pytest.skip(f"{runtime} is not installed")
    ticks = itertools.count()
    found = measure_latency(TINY, device=runtime, threads=1, timer=lambda: next(ticks) / 4)
    assert (found.device, found.threads, found.median) == (runtime, 1, 250.0)
    package, _, bits = runtime.partition("-")
    assert found.setting.startswith(f"{bits or 'float32'}, {package} ") and found.hardware


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expand3d.measure.runtimes.absent", lambda needs: [*needs][-1:])
    with pytest.raises(ConfigError, match=r"needs onnxruntime: pip install 'expand3d\[onnx\]'"):
        refuse_absent("onnxruntime")
    refuse_absent("torch")


def test_a_latency_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPAND3D_CACHE", str(tmp_path))
    looks: list[tuple[str, int | None]] = []

    def measure(plan: Plan, *, device: str, threads: int | None) -> Latency:
        looks.append((device, threads))
        return Latency(len(looks), 0.5, 9.0, 20, device, "abacus", threads or 4, "made up")

    def latency(device: str, threads: int) -> float:
        return kept_latency(TINY, device=device, threads=threads, measure=measure).median

    assert [latency("cpu", 1), latency("cpu", 2), latency("cpu", 1), latency("cpu", 2)] == [
        *(1, 2, 1, 2)
    ]
    (broken, *_) = sorted((tmp_path / "latencies").iterdir())
    broken.write_text("half")
    assert latency("cpu", 1) + latency("cpu", 2) in (3 + 1, 3 + 2)
    assert looks == [("cpu", 1), ("cpu", 2), looks[2]]
