"""Budgets as people write them: one limit or several, each of one quantity."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from expand3d.core.errors import BudgetError, ConfigError
from expand3d.core.plugins import RUNTIMES
from expand3d.core.quantity import (
    ACTIVATIONS,
    LATENCY,
    MACS,
    MEMORY,
    PARAMS,
    Quantity,
    format_macs,
)

__all__ = ["Budget", "Limit", "format_macs", "parse_budget", "parse_macs", "parse_training_limit"]

CONVENTION = "multiply-adds (conv + linear, one clip, train crop; the X3D paper's FLOPs)"
MACS_EXAMPLE = "write it like 4GFLOPs, 600M or 0.5 GMACs"
EXAMPLE = (
    f"{MACS_EXAMPLE}, or 3.8Mparams, 20Mactivations, 2GiB, 25ms, 25ms@cuda, 25ms@onnxruntime; "
    "several with commas: 4GFLOPs,25ms"
)

#: The runtime of the study's own trainings.
OWN = "torch"
_PREFIXES = {"": 0, "k": 3, "m": 6, "g": 9, "t": 12}
_NOUNS: Mapping[str, Quantity] = {
    "": MACS,
    "flop": MACS,
    "mac": MACS,
    "param": PARAMS,
    "parameter": PARAMS,
    "activation": ACTIVATIONS,
}
_BYTES = {
    **{f"{prefix}b": 10**power for prefix, power in _PREFIXES.items() if prefix},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", start=1)},
}
_NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9}
_NUMBER = r"(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]{1,3})?)"
_COUNT = re.compile(
    rf"{_NUMBER}\s*(?P<prefix>[kmgt]?)\s*(?P<noun>(?:flop|mac|param|parameter|activation)s?)?",
    re.IGNORECASE,
)
_SIZE = re.compile(rf"{_NUMBER}\s*(?P<unit>[kmgt]i?b)", re.IGNORECASE)
_DEVICE = "|".join(("cpu", "cuda(?::[0-9]+)?", *map(re.escape, RUNTIMES)))
_TIME = re.compile(
    rf"{_NUMBER}\s*(?P<unit>ns|us|µs|ms|s)(?:\s*@\s*(?P<device>{_DEVICE}))?",
    re.IGNORECASE,
)
#: The name of a device that is not here.
_ELSEWHERE = re.compile(r"[\w.-]+")
#: A number without K, M, G or T must be this large: nobody means a network of 4 multiply-adds.
_LEAST_BARE = 10**6
_MOST = 10**18


@dataclass(frozen=True)
class Limit:
    """The largest `amount` of a quantity, and the line that says what is counted.

    `device` is where a latency is measured: "cpu", "cuda", "cuda:1", a runtime such as
    "onnxruntime", or None for the study's own.
    """

    quantity: Quantity
    amount: int
    convention: str
    device: str | None = None


@dataclass(frozen=True)
class Budget:
    """The most that a network may cost: one limit per quantity, and the `text` they were read from.

    The first limit's quantity is what the steps of a search count.
    """

    limits: tuple[Limit, ...]
    text: str

    @property
    def first(self) -> Limit:
        return self.limits[0]

    @property
    def also(self) -> tuple[Limit, ...]:
        """The limits beside the first."""
        return self.limits[1:]

    @cached_property
    def latency(self) -> Limit | None:
        """The limit of measured time, if there is one."""
        return next((limit for limit in self.limits if limit.quantity is LATENCY), None)

    @property
    def macs(self) -> int | None:
        """The limit in multiply-adds, if there is one."""
        found = (limit.amount for limit in self.limits if limit.quantity is MACS)
        return next(found, None)

    def __str__(self) -> str:
        return self.text

    @property
    def convention(self) -> str:
        """The budget's conventions, limit by limit."""
        return "; ".join(limit.convention for limit in self.limits)


def parse_budget(text: str, *, elsewhere: bool = False) -> Budget:
    """The limits in `text`, such as '4GFLOPs', '3.8Mparams', '2GiB', '25ms@cuda' or '4G,25ms'.

    FLOPs and MACs mean the same, as in the X3D paper. Any case; counts with K, M, G or T.
    With `elsewhere` a time may be of any device, such as 25ms@pi5, whose latencies somebody brings.
    BudgetError shows an example where the text is nothing of that kind.
    """
    if re.search(r"\d,\s*\d+(\s|[a-z]|$)", text, re.IGNORECASE) and _bare(text.split(",")[0]):
        raise BudgetError(f"budget = {text!r} has a number without a unit; {EXAMPLE}")
    limits = tuple(_limit(part.strip(), elsewhere=elsewhere) for part in text.split(","))
    seen: set[str] = set()
    for limit in limits:
        if limit.amount < 1:
            raise BudgetError(f"budget = {text!r} is less than any network costs; {EXAMPLE}")
        if limit.quantity.key in seen:
            raise BudgetError(
                f"budget = {text!r} limits {limit.quantity.noun} twice; keep the smaller"
            )
        seen.add(limit.quantity.key)
    return Budget(limits, text.strip())


def parse_macs(text: str) -> int:
    """The multiply-adds in `text`; BudgetError where it limits anything else."""
    budget = parse_budget(text)
    if budget.macs is None or budget.also:
        raise BudgetError(f"{text!r} is not one number of multiply-adds; {MACS_EXAMPLE}")
    return budget.macs


def parse_training_limit(text: str) -> Budget:
    """The multiply-adds that trainings may take in all, such as '2.5TMACs'; ConfigError else."""
    try:
        parse_macs(text)
    except BudgetError:
        raise ConfigError(
            f"{text!r} is not a number of multiply-adds; write it like 2.5TMACs"
        ) from None
    return parse_budget(text)


def _bare(text: str) -> bool:
    return re.fullmatch(_NUMBER, text.strip(), re.IGNORECASE) is not None


def _limit(text: str, *, elsewhere: bool) -> Limit:
    time, at, device = (part.strip() for part in text.partition("@"))
    named = elsewhere and not _TIME.fullmatch(text) and _ELSEWHERE.fullmatch(device)
    if named and (match := _TIME.fullmatch(time)):
        return _time(match, text, device)
    if at and _TIME.fullmatch(time) and not _TIME.fullmatch(text):
        hint = ": write cuda" if device.lower() in ("gpu", "nvidia") else ""
        raise BudgetError(
            f"budget = {text!r}: {device!r} is no device that a latency is measured on{hint} "
            f"(choose from cpu, cuda, cuda:N) or in ({', '.join(RUNTIMES)})"
        )
    if at and not _TIME.fullmatch(text):
        raise BudgetError(
            f"budget = {text!r}: only a time is of a device, such as 25ms@cuda; leave out @{device}"
        )
    if match := _TIME.fullmatch(text):
        return _time(match, text)
    if match := _SIZE.fullmatch(text):
        amount = _amount(match, _BYTES[match["unit"].lower()], text)
        line = f"{match['number']} {match['unit']} of memory: {MEMORY.convention}"
        return Limit(MEMORY, amount, line)
    if match := _COUNT.fullmatch(text):
        return _count(match, text)
    raise BudgetError(f"budget = {text!r} is not a number of multiply-adds; {EXAMPLE}")


def _time(match: re.Match[str], text: str, elsewhere: str | None = None) -> Limit:
    amount = _amount(match, _NANOSECONDS[match["unit"].lower()], text)
    device = elsewhere or (match["device"].lower() if match["device"] else None)
    where = f" {'in' if device in RUNTIMES else 'on'} {device}" if device else ""
    line = f"{match['number']} {match['unit']} a clip{where}: {LATENCY.convention}"
    if device == OWN:  # as trainings run it, on their device
        device = None
    return Limit(LATENCY, amount, line, device)


def _count(match: re.Match[str], text: str) -> Limit:
    prefix, noun = match["prefix"], match["noun"] or ""
    quantity = _NOUNS[noun.lower().rstrip("s")]
    amount = _amount(match, 10 ** _PREFIXES[prefix.lower()], text)
    if quantity is MACS and not prefix and amount < _LEAST_BARE:
        raise BudgetError(
            f"budget = {text!r} has no unit and would be {Decimal(match['number']):f} "
            f"multiply-adds; did you mean {match['number']}GFLOPs?"
        )
    written = f"{match['number']} {prefix.upper()}{noun}".strip()
    if quantity is MACS:
        return Limit(MACS, amount, f"{written} = {amount / 1e9:.3f} G {CONVENTION}")
    return Limit(quantity, amount, f"{written}: {quantity.convention}")


def _amount(match: re.Match[str], unit: int, text: str) -> int:
    """The number times its unit, exactly: 0.3G is 300,000,000; rounded down."""
    exact = Decimal(match["number"]) * unit
    if exact <= 0:
        raise BudgetError(f"budget = {text!r} must be more than 0; {EXAMPLE}")
    if exact > _MOST:
        raise BudgetError(f"budget = {text!r} is beyond any network; {EXAMPLE}")
    return int(exact)
