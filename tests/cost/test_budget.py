"""Budgets as people write them."""

from __future__ import annotations

import pytest

from expand3d.cost.budget import format_macs, parse_budget
from expand3d.errors import BudgetError


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
    ["", " ", "4x", "2x", "G", "4 apples", "4GB", "4G/s", "4 GFLOPS/s", "1,5G", "1.2.3G", "nan",
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
