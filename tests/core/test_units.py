from __future__ import annotations

import pytest

from expand3d.core.errors import ConfigError
from expand3d.core.units import Duration, Size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7200), ("90m", 5400), ("45s", 45), ("1h30m", 5400), ("1.5 h", 5400), ("1D", 86400)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2 hours", "-1h", "1h and 2m", "0s", "nan"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"90m|longer than 0s"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("20GiB", 21_474_836_480), ("500MB", 500_000_000), ("1.5kB", 1500), ("7 B", 7)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "20", "20G", "GiB", "-1GB", "many GB"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="20GiB"):
        parse_size(text)


def test_what_was_read_keeps_its_text_and_is_compared_by_value() -> None:
    hour, size = Duration.read(" 1h "), Size.read("2kB")
    assert (hour.seconds, hour.text, str(hour)) == (3600, "1h", "1h")
    assert hour == Duration.read("60m") and hour != Duration.read("61m")
    assert (size.bytes, str(size)) == (2000, "2kB") and size == Size.read("2000 B")
