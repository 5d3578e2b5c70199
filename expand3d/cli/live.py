"""The look of a run while it runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from expand3d.cli.words import duration, score_text
from expand3d.core.genotype import Plan
from expand3d.core.measured import Latency
from expand3d.core.quantity import format_macs
from expand3d.core.trial import BASELINE, Candidate, Trial
from expand3d.core.units import in_bytes
from expand3d.cost.price import cost_text
from expand3d.networks import get_family
from expand3d.report.study.naming import network_text
from expand3d.run.events import Overview, Watch
from expand3d.search.statistics import label

if TYPE_CHECKING:
    from expand3d.core.result import Training
    from expand3d.training.progress import Progress


def overview_table(overview: Overview) -> Group:
    """The plan of a run as two small tables."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    for name, text in overview.lines:
        facts.add_row(name, text)
    steps = Table(box=None, header_style="dim", padding=(0, 1), pad_edge=False)
    rows = list(overview.steps) + ([overview.final] if overview.final else [])
    first = "network" if rows[0].name else "step"
    for column in (first, "candidates", "about", "clip visits", "training", "memory", "time"):
        steps.add_column(column, justify="left" if column == first else "right", no_wrap=True)
    for row in rows:
        steps.add_row(
            "final" if row is overview.final else row.name or str(row.step),
            str(row.candidates),
            row.quantity.text(row.target),
            f"{row.clip_visits:,}",
            f"{row.training_macs / 1e12:.2f} TMACs",
            in_bytes(row.memory) if row.memory else "",
            duration(row.seconds),
        )
    steps.add_row(
        "all",
        str(sum(row.candidates for row in rows)),
        "",
        f"{sum(row.clip_visits for row in rows):,}",
        f"{sum(row.training_macs for row in rows) / 1e12:.2f} TMACs",
        "",
        f"~ {duration(overview.seconds)}",
        style="bold",
    )
    title = Text(f"study {overview.name}", style="bold")
    return Group(title, facts, Text(), steps, _spread(overview), *_warnings(overview))


def _warnings(overview: Overview) -> list[Text]:
    """A line with their number, then one for each; no line where there are none."""
    count = len(overview.warnings)
    if not count:
        return []
    head = Text("1 warning:" if count == 1 else f"{count} warnings:", style="bold yellow")
    return [head, *(Text(f"  {text}", style="yellow") for text in overview.warnings)]


def _spread(overview: Overview) -> Text:
    """The range of the expected time over the choices on the way; nothing where it has none."""
    if overview.shortest is None or overview.longest is None:
        return Text()
    low, high = duration(overview.shortest), duration(overview.longest)
    return Text("" if low == high else f"{low} to {high}, by what the steps choose\n", style="dim")


class PlainWatch(Watch):
    """One line per event, for logs; progress of a training at most every `every` seconds."""

    def __init__(self, console: Console | None = None, *, every: float = 30.0) -> None:
        self.console = console or Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._every = every
        self._last: dict[str, float] = {}

    def say(self, text: str, style: str = "") -> None:
        self.console.print(Text(text, style=style))

    def note(self, text: str) -> None:
        self.say(text)

    def decoding(self, done: int, total: int) -> None:
        if done == total or self._due():
            self.say(f"decoded {done} of {total} clips")

    def flow(self, done: int, total: int) -> None:
        if done == total or self._due():
            self.say(f"optical flow of {done} of {total} clips")

    def measured(self, plan: Plan, latency: Latency) -> None:
        macs = format_macs(get_family(plan.family).cost(plan).macs)
        clip = f"{plan.frames}x{plan.stride} {plan.crop}px"
        self.say(f"  latency of {clip}, {macs}: {latency.text}", style="dim")

    def planned(self, overview: Overview) -> None:
        self.console.print(overview_table(overview))

    def step(self, candidates: Sequence[Candidate], done: Sequence[Trial]) -> None:
        role = candidates[0].role
        what = {"base": ": the base", "contract": ": contraction", BASELINE: ""}
        text = f"{heading(candidates[0])}{what.get(role, ': candidates')}"
        self.say(f"{text}, {len(candidates) - len(done)} to train")

    def training(self, candidate: Candidate | None, progress: Progress) -> None:
        what = label(candidate) if candidate else "final"
        if self._due(what):
            self.say(f"  {what}: {progress_text(progress)}", style="dim")

    def finished(self, trial: Trial) -> None:
        candidate = trial.candidate
        self.say(
            f"  {label(candidate)}: {network_text(candidate)}, {cost_text(candidate)}: "
            f"{score_text(trial)}, {duration(trial.seconds)}"
        )
        self.notes_of(trial)

    def reached(self, trial: Trial) -> None:
        self.say(f"  {label(trial.candidate)}: tested after {trial.reached} clip visits")

    def notes_of(self, trial: Trial) -> None:
        """Say what a training adjusted: a smaller test batch, a checkpoint from other threads."""
        for key, training in trial.trainings.items():
            for text in training.notes:
                self.say(f"    {label(trial.candidate)} {key}: {text}", style="dim")

    def decided(self, step: int, text: str) -> None:
        self.say(text, style="bold")

    def final(self, training: Training) -> None:
        self.say(f"final training done in {duration(training.seconds)}")

    def count(self, done: int, total: int, of: str) -> None:
        """So many of `of` are done."""
        if self._due(of) and done < total:
            self.say(f"{done} of {total} {of}", style="dim")

    def close(self) -> None:
        """Nothing is left on the screen to take away."""

    def _due(self, what: str = "") -> bool:
        """True where it is time to say something again; each training has a time of its own."""
        now = time.monotonic()
        due = now - self._last.get(what, -math.inf) >= self._every
        if due:
            self._last[what] = now
        return due


def heading(candidate: Candidate) -> str:
    """The heading over a candidate and those beside it: a step of the expansion, or baselines."""
    return "baselines" if candidate.step is None else f"step {candidate.step}"


def progress_text(progress: Progress) -> str:
    """The state of one training, and the time that it still takes at this speed."""
    left = (progress.visits_total - progress.visits_done) / max(progress.clips_per_second, 1e-9)
    where = f"epoch {progress.epoch}/{progress.epochs}" if progress.phase == "train" else "testing"
    right = "" if progress.accuracy is None else f"accuracy {progress.accuracy:.1%}, "
    return (
        f"{where}, {progress.visits_done}/{progress.visits_total} clips, {right}"
        f"{progress.clips_per_second:.1f} clips/s, {duration(left)} left"
    )


class LiveWatch(PlainWatch):
    """A table of the step's candidates that changes in place, above it what was decided."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console, every=0.25)
        self._live: Live | None = None
        self._candidates: list[Candidate] = []
        self._trials: dict[str, Trial] = {}
        self._now: dict[str | None, Progress] = {}  # by digest, None for the winner's last training

    def decoding(self, done: int, total: int) -> None:
        self._bar("decoding", done, total)

    def flow(self, done: int, total: int) -> None:
        self._bar("optical flow", done, total)

    def _bar(self, what: str, done: int, total: int) -> None:
        if self._due() or done == total:
            bar = Table.grid(padding=(0, 1))
            bar.add_row(what, ProgressBar(total, done, width=40), f"{done}/{total} clips")
            self._show(bar)
        if done == total:
            self.close()

    def step(self, candidates: Sequence[Candidate], done: Sequence[Trial]) -> None:
        if self._candidates:  # nobody decided between them: they are a sampler's
            self._keep()
        self._candidates = list(candidates)
        self._trials = {trial.candidate.digest: trial for trial in done}
        self._show(self._table())

    def training(self, candidate: Candidate | None, progress: Progress) -> None:
        if candidate is None and self._candidates:
            self._keep()
        self._now[candidate.digest if candidate else None] = progress
        if self._due():
            self._show(self._table())

    def finished(self, trial: Trial) -> None:
        self._trials[trial.candidate.digest] = trial
        self._now.pop(trial.candidate.digest, None)
        self._show(self._table())
        self.notes_of(trial)

    def decided(self, step: int, text: str) -> None:
        if self._candidates and self._candidates[0].step == step:
            self._show(self._table())
            self._keep()
        super().decided(step, text)

    def final(self, training: Training) -> None:
        self.close()
        super().final(training)

    def close(self) -> None:
        if self._live is not None:
            self._live.update(Text(), refresh=True)
            self._live.stop()
            self._live = None

    def _keep(self) -> None:
        """Leave the last picture on the screen and go on below it."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._candidates = []

    def _show(self, what: RenderableType) -> None:
        if self._live is None:
            self._live = Live(console=self.console, auto_refresh=False)
            self._live.start()
        self._live.update(what, refresh=True)

    def _table(self) -> RenderableType:
        if not self._candidates:
            return self._final_row()
        title = heading(self._candidates[0])
        table = Table(title=title, title_justify="left", title_style="bold", box=None)
        for column in ("axis", "network", "cost", "", "result"):
            table.add_column(column, header_style="dim", no_wrap=column != "result")
        for candidate in self._candidates:
            table.add_row(
                label(candidate),
                network_text(candidate),
                cost_text(candidate),
                *self._state(candidate),
            )
        return table

    def _state(self, candidate: Candidate) -> tuple[Any, str]:
        trial = self._trials.get(candidate.digest)
        if trial is not None and trial.state != "running":
            return Text("done" if trial.state == "complete" else trial.state), score_text(trial)
        progress = self._now.get(candidate.digest)
        if progress is not None:
            bar = ProgressBar(progress.visits_total, progress.visits_done, width=16)
            return bar, progress_text(progress)
        return Text("waiting", style="dim"), ""

    def _final_row(self) -> RenderableType:
        progress = self._now.get(None)
        if progress is None:
            return Text()
        row = Table.grid(padding=(0, 2))
        bar = ProgressBar(progress.visits_total, progress.visits_done, width=24)
        row.add_row("the winner's last training", bar, progress_text(progress))
        return row


def watch_for(*, json: bool) -> PlainWatch:
    """The live view on a terminal, lines elsewhere; both on stderr, so stdout stays for results."""
    console = Console(file=sys.stderr, highlight=False)
    if console.is_terminal and not json:
        return LiveWatch(console)
    return PlainWatch()
