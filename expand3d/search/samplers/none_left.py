"""The reason why a sequence of points has no network left to propose."""

from __future__ import annotations

from expand3d.search.samplers.simplex import Simplex
from expand3d.search.samplers.space import RESTRICTED, Order, Space


def none_left(space: Space | Simplex, order: Order, seed: int, *, blocks: int, slow: str) -> str:
    """One line: how many points exceed which limit, and how many networks are known or `slow`."""
    refused = space.refused(order, seed, blocks=blocks)
    known = sum(1 for _ in space.legal(order, seed, blocks=blocks))
    over = [(name, count) for name, count in refused.most_common() if name != RESTRICTED]
    reasons = [f"{count:,} exceed the limit of {name}" for name, count in over]
    if example := space.refusal(order, seed, blocks=blocks):
        count = f"{refused[RESTRICTED]:,}" if refused[RESTRICTED] else "some"
        reasons.append(f"{count} are refused (such as: {example})")
    return (
        f"no new network among {refused.total() + known:,} points: "
        f"{', '.join([*reasons, f'{known:,} are known{slow}'])}"
    )
