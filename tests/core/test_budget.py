"""Budgets as people write them."""

from __future__ import annotations

import pytest

from expand3d.core.budget import format_macs, parse_budget, parse_macs
from expand3d.core.errors import BudgetError
from expand3d.core.quantity import QUANTITIES


@pytest.mark.parametrize(
    ("text", "macs"),
    [
        ("4GFLOPs", 4_000_000_000),
        ("4 gflops", 4_000_000_000),
        ("4GFLOP", 4_000_000_000),
        ("600M", 600_000_000),
        ("600m", 600_000_000),
        ("0.5 GMACs", 500_000_000),
        (".5G", 500_000_000),
        ("0.3GFLOPs", 300_000_000),  # 0.3 * 1e9 in floats is 299999999.99999994
        ("1.1 T", 1_100_000_000_000),
        ("30000K", 30_000_000),
        ("2e9", 2_000_000_000),
        ("2.5e-1G", 250_000_000),
        ("605256512", 605_256_512),
        ("  1 G  MACS ", 1_000_000_000),
        ("+4G", 4_000_000_000),
    ],
)
def test_reads(text: str, macs: int) -> None:
    assert parse_budget(text).macs == macs


@pytest.mark.parametrize(
    "text",
    ["", " ", "4x", "2x", "G", "4 apples", "4B", "4G/s", "4 GFLOPS/s", "1,5G", "1.2.3G", "nan",
     "inf", "4 4 G", "GFLOPs 4", "0x10G", "4 billion", "٤G"],
)  # fmt: skip
def test_nonsense_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BudgetError, match=r"4GFLOPs"):
        parse_budget(text)


@pytest.mark.parametrize("text", ["-4G", "0", "0.0GFLOPs", "-1e9"])
def test_not_positive(text: str) -> None:
    with pytest.raises(BudgetError, match="more than 0"):
        parse_budget(text)


@pytest.mark.parametrize("text", ["4", "4FLOPs", "0.5", "999999"])
def test_a_bare_small_number_is_asked_back(text: str) -> None:
    with pytest.raises(BudgetError, match="did you mean"):
        parse_budget(text)
    parse_budget("1000000")


def test_the_suggestion_parses() -> None:
    with pytest.raises(BudgetError, match=r"did you mean 4GFLOPs\?"):
        parse_budget("4")


@pytest.mark.parametrize("text", ["1e400G", "9e99", "2000000T"])
def test_too_large(text: str) -> None:
    with pytest.raises(BudgetError, match="beyond"):
        parse_budget(text)


@pytest.mark.parametrize("text", ["0.0001K", "1e-300G"])
def test_less_than_one(text: str) -> None:
    with pytest.raises(BudgetError):
        parse_budget(text)


def test_the_convention_is_printed_back() -> None:
    assert parse_budget("4GFLOPs").convention == (
        "4 GFLOPs = 4.000 G multiply-adds (conv + linear, one clip, train crop; "
        "the X3D paper's FLOPs)"
    )
    assert parse_budget("600M").convention.startswith("600 M = 0.600 G multiply-adds")
    assert parse_budget("600M").text == "600M"


@pytest.mark.parametrize(
    ("macs", "text"),
    [
        (605_256_512, "0.605 GMACs"),
        (20_662_304, "20.66 MMACs"),
        (35_837_600_000, "35.838 GMACs"),
        (512, "512 MACs"),
        (100_000_000, "0.100 GMACs"),
    ],
)
def test_format(macs: int, text: str) -> None:
    assert format_macs(macs) == text


@pytest.mark.parametrize(
    ("text", "key", "amount", "device"),
    [
        ("3.8Mparams", "params", 3_800_000, None),
        ("3.8 M Parameters", "params", 3_800_000, None),
        ("20Mactivations", "activations", 20_000_000, None),
        ("2GiB", "memory", 2 * 2**30, None),
        ("0.5 gib", "memory", 2**29, None),
        ("500MB", "memory", 500_000_000, None),
        ("25ms", "latency", 25_000_000, None),  # nanoseconds
        ("0.1s", "latency", 100_000_000, None),
        ("800us", "latency", 800_000, None),
        ("25ms@cuda", "latency", 25_000_000, "cuda"),
        ("25 ms @ CUDA:1", "latency", 25_000_000, "cuda:1"),
        ("25ms@cpu", "latency", 25_000_000, "cpu"),
        ("25ms@onnxruntime", "latency", 25_000_000, "onnxruntime"),
        ("8 ms @ OpenVINO", "latency", 8_000_000, "openvino"),
        ("8ms@openvino-int8", "latency", 8_000_000, "openvino-int8"),
        ("25ms@torch", "latency", 25_000_000, None),  # as trainings run it, on their device
    ],
)
def test_other_quantities(text: str, key: str, amount: int, device: str | None) -> None:
    (limit,) = parse_budget(text).limits
    assert (limit.quantity.key, limit.amount, limit.device) == (key, amount, device)


def test_several_limits_keep_their_order() -> None:
    budget = parse_budget("25ms@cuda, 4GFLOPs,3.8Mparams")
    assert [limit.quantity.key for limit in budget.limits] == ["latency", "macs", "params"]
    assert budget.first.amount == 25_000_000 and budget.macs == 4_000_000_000
    assert budget.latency is budget.first
    assert "in torch" in parse_budget("25ms@torch").convention
    assert "in onnxruntime" in parse_budget("25ms@onnxruntime").convention
    assert budget.convention.count(";") >= 2 and "on cuda" in budget.convention


@pytest.mark.parametrize("text", ["25ms@tpu", "4G@cuda", "25ms@", "3Mparam/s", "2GiBs", "4G,,25ms"])
def test_other_nonsense(text: str) -> None:
    with pytest.raises(BudgetError, match="25ms"):
        parse_budget(text)


def test_one_limit_per_quantity() -> None:
    with pytest.raises(BudgetError, match="multiply-adds twice"):
        parse_budget("4GFLOPs,600M")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("25ms@gpu", r"'gpu' is no device .*: write cuda \(choose from cpu, cuda, cuda:N\)"),
        ("25ms@tpu", r"'tpu' is no device .* on \(choose from"),
        ("25ms@onnx", r"'onnx' is no device .* or in \(torch, onnxruntime, openvino"),
        ("4G@cuda", "only a time is of a device"),
    ],
)
def test_the_part_that_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(BudgetError, match=said):
        parse_budget(text)


@pytest.mark.parametrize("text", ["25ms", "4GFLOPs,25ms", "2GiB"])
def test_only_multiply_adds(text: str) -> None:
    assert parse_macs("4GFLOPs") == 4_000_000_000
    with pytest.raises(BudgetError, match="not one number of multiply-adds"):
        parse_macs(text)


@pytest.mark.parametrize(
    ("key", "amount", "text"),
    [
        ("params", 3_794_322, "3.794 Mparams"),
        ("activations", 11_218_568, "11.22 Mactivations"),
        ("memory", 31_766_088, "30.29 MiB"),
        ("memory", 2**31, "2 GiB"),
        ("latency", 24_318_000, "24.3 ms"),
    ],
)
def test_format_of_other_quantities(key: str, amount: int, text: str) -> None:
    assert QUANTITIES[key].text(amount) == text
