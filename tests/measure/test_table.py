"""Latencies of another device: exact for its networks, for others predicted with an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from expand3d.core.errors import ConfigError
from expand3d.core.genotype import Plan
from expand3d.measure.table import read_table
from tests.helpers.elsewhere import X3D, by_rule, plans, write_table

PLANS = plans(6)
OTHER = X3D.resolve(X3D.base.replace(gamma_d=3, gamma_s=1.5), num_classes=6)


def write(file: Path, of: Sequence[Plan] = PLANS, ms: Callable[[Plan], float] = by_rule) -> Path:
    return write_table(file, of, ms)


def test_a_network_of_the_table_has_what_was_measured(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "pi5.csv", ms=lambda plan: len(plan.digest) / 7), "pi5")
    found = table.latency(PLANS[2])
    assert (found.median, found.runs, found.threads) == (16 / 7, 15, 4)
    assert found.hardware == "Cortex-A76" and found.setting.startswith("measured, pi5.csv")
    assert "predicted" not in found.text


def test_another_network_is_predicted_and_says_so(tmp_path: Path) -> None:
    found = read_table(write(tmp_path / "pi5.csv"), "pi5").latency(OTHER)
    assert found.median == pytest.approx(by_rule(OTHER), rel=1e-6)
    assert found.runs == 0 and found.text.endswith(", predicted)")
    assert found.setting.startswith("predicted from 6 networks of pi5.csv, mean error 0%")


def test_the_error_is_that_of_networks_left_out(tmp_path: Path) -> None:
    """Every second network takes 1.5 times as long as the rule says: no sum fits all."""
    slower = {plan.digest: 1 + 0.5 * (place % 2) for place, plan in enumerate(PLANS)}
    file = write(tmp_path / "pi5.csv", ms=lambda plan: by_rule(plan) * slower[plan.digest])
    found = read_table(file, "pi5").latency(OTHER)
    error = found.high / found.median - 1
    assert 0.05 < error < 1 and found.low == pytest.approx(found.median / (1 + error))
    assert f"mean error {error:.0%}" in found.setting
    assert 0.5 * by_rule(OTHER) < found.median < 2 * by_rule(OTHER)


def test_too_few_predict_nothing(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "pi5.csv", PLANS[:3]), "pi5")
    assert table.latency(PLANS[0]).runs == 15
    with pytest.raises(ConfigError, match=r"has 3 networks of pi5, and not this one.*from 4 on"):
        table.latency(OTHER)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("median_ms", "median"), "no column median_ms"),
        (lambda text: "", "no column digest"),
        (lambda text: text.replace("pi5", "pi4"), "no latencies of 'pi5'; it has those of pi4"),
        (lambda text: text.replace(PLANS[0].digest, "0" * 16), "is not that of the plan"),
        (lambda text: text.replace('""family"": ""x3d""', '""famly"": 1'), "a row that is none"),
    ],
)
def test_what_is_no_table_is_named(change: Callable[[str], str], said: str, tmp_path: Path) -> None:
    file = write(tmp_path / "pi5.csv")
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ConfigError, match=said) as error:
        read_table(file, "pi5")
    assert "pi5.csv" in str(error.value)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.csv' cannot be read"):
        read_table(tmp_path / "none.csv", "pi5")
