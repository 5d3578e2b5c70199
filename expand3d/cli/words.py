"""Scores and times as the terminal says them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len, set_cell_size

from expand3d.core.trial import Trial, summarise


def duration(seconds: float) -> str:
    """Seconds as people say them: '42 s', '12 min', '3 h 05 min'."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def columns(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """One line a row, its cells one below the other; rich's tables take 2 ms a row to lay out."""
    rows = list(rows)
    widths = [max(map(cell_len, cells)) for cells in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(map(set_cell_size, row, widths)).rstrip()


def score_text(trial: Trial) -> str:
    """Top-1 with its interval, mean class accuracy and log-loss, or why there is none."""
    score = summarise(trial)
    if trial.state != "complete" or score is None:
        return trial.why
    low, high = score.top1_ci
    return (
        f"top-1 {score.top1:.1%} ({low:.0%} to {high:.0%}), mean class {score.mean_class:.1%}, "
        f"log-loss {score.nll:.3f}"
    )
