"""Rates fitted to timed networks, which networks are timed, and where."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path

import pytest
from torch import nn

from expand3d.core.genotype import Plan
from expand3d.core.recipe import get_profile
from expand3d.measure.pace import fit, telling
from expand3d.measure.throughput import Site, Throughput, Timed, calibrate_at
from expand3d.networks import get_family

X3D = get_family("x3d")


def network(**factors: float) -> Plan:
    return X3D.resolve(X3D.base.replace(**factors), num_classes=5)


BASE = network()
DEEP = network(gamma_d=3.0)
WIDE = network(gamma_w=2.0)
LONG = network(gamma_t=4, gamma_tau=2)
FINE = network(gamma_t=2, gamma_tau=2, gamma_s=160 / 112)


@lru_cache
def layers(plan: Plan) -> int:
    """Convolutions, linear layers and BatchNorms of the network as it is built."""
    kinds = (nn.Conv3d, nn.Linear, nn.BatchNorm3d)
    return sum(isinstance(module, kinds) for module in X3D.build(plan).modules())


def seconds(plan: Plan, *, clips: int) -> Throughput:
    """2 ns an element, 0.1 ns a multiply-add, 0.3 ms a layer and pass, 1 ms a clip; tests a fifth.

    The start takes 5 ns an element.
    """
    cost = X3D.cost(plan)
    clip = 2e-9 * cost.activations + 1e-10 * cost.macs + 3e-4 * layers(plan) / clips + 1e-3
    return Throughput(clip, clip / 5, 5e-9 * cost.activations)


def test_what_takes_time_by_known_rates_is_predicted_for_networks_that_were_not_timed() -> None:
    passes = ((BASE, 16), (DEEP, 16), (WIDE, 8), (LONG, 4))
    pace = fit([Timed(plan, clips, seconds(plan, clips=clips)) for plan, clips in passes], clips=16)
    for plan in (FINE, network(gamma_d=2.0, gamma_b=3.0), BASE):
        true = seconds(plan, clips=16)
        wanted = 100 * true.train_seconds + 10 * true.test_seconds + 3 * true.start_seconds
        found = pace.seconds(plan, visits=100, views=10, trainings=3)
        assert found == pytest.approx(wanted, rel=1e-6)


def test_one_timed_network_is_enough_for_itself_and_no_rate_is_negative() -> None:
    pace = fit([Timed(BASE, 16, Throughput(0.25, 0.125, 0.0))], clips=16)
    assert pace.seconds(BASE, visits=4, views=8, trainings=1) == pytest.approx(2.0)
    falling = [
        Timed(BASE, 16, Throughput(2.0, 1.0, 0.0)),
        Timed(LONG, 16, Throughput(1.0, 1.0, 0.0)),
    ]
    pace = fit(falling, clips=16)
    assert min(*pace.train, *pace.test, *pace.start) >= 0


def test_networks_are_timed_that_differ_and_the_smallest_is_among_them() -> None:
    near = [network(gamma_w=width) for width in (1.05, 1.1)]
    assert telling([LONG, *near, BASE]) == [BASE, LONG]
    several = telling([DEEP, FINE, *near, WIDE, LONG, BASE])
    assert several[0] == BASE and {DEEP, LONG} < set(several) and not set(near) & set(several)
    many = [network(gamma_t=t, gamma_d=d) for t in (1, 2, 4, 8) for d in (1.0, 2.0, 4.0)]
    assert len(telling(many)) == 5


SMALL = X3D.resolve(X3D.base.replace(gamma_w=1 / 3, gamma_d=0.2, gamma_s=32 / 112), num_classes=2)
LARGE = X3D.resolve(
    X3D.base.replace(gamma_w=1 / 3, gamma_d=0.2, gamma_s=64 / 112, gamma_t=4), num_classes=2
)


@pytest.mark.slow
def test_processes_time_together_what_will_be_trained_together() -> None:
    recipe = get_profile("quick", {"bn_batch": 4})
    timed = calibrate_at((SMALL, LARGE), recipe=recipe, site=Site(("cpu",), 1, 2))
    assert [one.plan for one in timed] == [SMALL, LARGE]
    assert all(1 <= one.clips <= recipe.bn_batch for one in timed)
    small, large = (one.speed for one in timed)
    assert 0 < small.train_seconds < large.train_seconds < 1
    assert 0 < small.test_seconds < large.train_seconds


def test_where_processes_fail_the_driver_times_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def alone(plan: Plan, *, device: str, **_: object) -> Throughput:
        asked.append(device)
        return Throughput(0.01, 0.01, 0.0)

    monkeypatch.setattr("expand3d.measure.throughput.calibrate", alone)
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    site = Site(("cpu",), 1, 2)
    timed = calibrate_at((SMALL, LARGE), recipe=get_profile("quick"), site=site)
    assert [one.speed for one in timed] == [Throughput(0.01, 0.01, 0.0)] * 2
    assert asked == ["cpu", "cpu"]
