"""The face of a run: the same events as a live table and as plain lines."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from expand3d.cli.live import LiveWatch, PlainWatch, progress_text
from expand3d.cli.words import duration
from expand3d.core.result import ClipScore, Training, TrainingKey
from expand3d.core.trial import Candidate, Trial
from expand3d.networks import get_family
from expand3d.run.events import Overview, PlannedStep
from expand3d.search.expansion.expansion import Expansion
from expand3d.search.samplers.sampling import Sampling
from expand3d.search.strategy import Batch
from expand3d.training.progress import Progress


def trial_of(candidate: Candidate, number: int, right: int) -> Trial:
    scores = tuple(ClipScore(f"c{i}", 0, int(i >= right), 0.5) for i in range(10))
    training = Training("ok", None, scores, 32, 1, 65.0, 0, notes=("test pass halved to 4 clips",))
    family = get_family("x3d")
    cost = family.cost(family.resolve(candidate.genotype)).totals()
    return Trial(number, "complete", candidate, cost, {TrainingKey(): training})


def progress(phase: str = "train") -> Progress:
    return Progress(phase, 2, 4, 16, 64, 1.5, 0.1, 8.0, 0.25)  # type: ignore[arg-type]


def show(watch: PlainWatch) -> None:
    """A base and the beginning of the first step."""
    strategy = Expansion("x3d", num_classes=400, budget=50_000_000)
    rows = (PlannedStep(0, 1, 20_662_304, 64, 10**12, 30.0, memory=1_340_000_000),)
    watch.planned(Overview("demo", (("budget", "0.05 GFLOPs"),), rows, None))
    history: list[Trial] = []
    for right in (4, 6):
        ask = strategy.ask(history)
        assert isinstance(ask, Batch)
        watch.step(ask.candidates, [])
        watch.training(ask.candidates[0], progress())
        history.append(trial_of(ask.candidates[0], len(history), right))
        watch.finished(history[-1])
        for step in strategy.steps(history):
            if not step.pending:
                watch.decided(step.offer.step, step.text)
    watch.training(None, progress())
    watch.close()


@pytest.mark.parametrize("kind", [PlainWatch, LiveWatch])
def test_both_views_tell_plan_progress_scores_and_decisions(kind: type[PlainWatch]) -> None:
    out = io.StringIO()
    live = kind is LiveWatch
    console = Console(file=out, width=140, force_terminal=live, color_system=None)
    show(LiveWatch(console) if live else PlainWatch(console, every=0))
    text = out.getvalue()
    for wanted in (
        "study demo",
        "0.05 GFLOPs",
        "20.66 MMACs",
        "1.3 GB",
        "epoch 2/4, 16/64 clips, accuracy 25.0%, 8.0 clips/s, 6 s left",
        "top-1 40.0%",
        "gamma_tau = gamma_t",
        "2x14 112px",
        "top-1 60.0%",
        "test pass halved to 4 clips",
        "step 0: base (20.66 MMACs)",
    ):
        assert wanted in text, wanted


@pytest.mark.parametrize("kind", [PlainWatch, LiveWatch])
def test_a_samplers_networks_stay_on_the_screen(kind: type[PlainWatch]) -> None:
    """No step decides between them, so each batch is left there by the next."""
    out = io.StringIO()
    live = kind is LiveWatch
    console = Console(file=out, width=140, force_terminal=live, color_system=None)
    watch = LiveWatch(console) if live else PlainWatch(console)
    strategy = Sampling("random", "x3d", num_classes=400, budget=50_000_000)
    history: list[Trial] = []
    for right in (4, 6, 7):
        ask = strategy.ask(history)
        assert isinstance(ask, Batch)
        watch.step(ask.candidates, [])
        history.append(trial_of(ask.candidates[0], len(history), right))
        watch.finished(history[-1])
    watch.training(None, progress())
    watch.close()
    # The picture that is redrawn last is the winner's training; what stands above it stays.
    text = out.getvalue()
    for wanted in ("top-1 40.0%", "top-1 60.0%", "top-1 70.0%", "random", "step 2"):
        assert wanted in text
    if live:
        assert "the winner's last training" in text


def test_plain_progress_comes_at_intervals() -> None:
    out = io.StringIO()
    watch = PlainWatch(Console(file=out, width=140), every=3600)
    for _ in range(5):
        watch.training(None, progress())
    assert out.getvalue().count("epoch") <= 1


@pytest.mark.parametrize("kind", [PlainWatch, LiveWatch])
def test_networks_that_train_side_by_side_are_all_shown(kind: type[PlainWatch]) -> None:
    out = io.StringIO()
    live = kind is LiveWatch
    console = Console(file=out, width=140, force_terminal=live, color_system=None)
    watch = LiveWatch(console) if live else PlainWatch(console, every=3600)
    strategy = Expansion("x3d", num_classes=400, budget=50_000_000)
    base = strategy.ask([])
    assert isinstance(base, Batch)
    step = strategy.ask([trial_of(base.candidates[0], 0, 4)])
    assert isinstance(step, Batch)
    first, second = step.candidates[:2]
    watch.step(step.candidates, [])
    for candidate, done in ((first, 16), (second, 24), (first, 32)):
        watch.training(candidate, dataclasses.replace(progress(), visits_done=done))
    if live:
        watch._last.clear()  # it draws a few times a second only
        out.truncate(0)
        watch.training(first, dataclasses.replace(progress(), visits_done=40))
        assert "40/64 clips" in out.getvalue() and "24/64 clips" in out.getvalue()
        out.truncate(0)
        watch.finished(trial_of(first, 1, 6))
        assert "40/64 clips" not in out.getvalue() and "24/64 clips" in out.getvalue()
        last = out.getvalue().rpartition("result")[2]
        assert last.count("waiting") == len(step.candidates) - 2
    else:
        assert "16/64 clips" in out.getvalue() and "24/64 clips" in out.getvalue()
        assert "32/64 clips" not in out.getvalue()
    watch.close()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (99, "99 s"), (120, "2 min"), (5940, "99 min"), (11_100, "3 h 05 min")],
)
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_training_without_right_answers_has_no_accuracy() -> None:
    whole = progress_text(progress())
    assert progress_text(dataclasses.replace(progress(), accuracy=None)) == whole.replace(
        "accuracy 25.0%, ", ""
    )
