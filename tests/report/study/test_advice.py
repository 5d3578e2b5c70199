"""The limits of a study, of made records whose limit is known."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Mapping

import pytest

from expand3d.core.result import ClipScore, Training, TrainingKey
from expand3d.core.trial import Candidate, Trial
from expand3d.networks import get_family
from expand3d.report.study.advice import Answer, advise, headline
from expand3d.report.study.view import StudyView
from expand3d.search.strategy import expand_all
from tests.helpers.studies import CLASSES, strategy_of

WHAT = ("more clips", "longer clips", "a larger network", "longer training")
#: Training clips of every made study; each is seen ten times.
TRAINED_ON = 600


def made(
    helps: Mapping[str, float], *, base: float, gap: float, clips: int = 400, groups: int = 0
) -> StudyView:
    """A study in which doubling a factor makes networks so much more often right, and nothing else.

    Training clips are `gap` more often right than others. Clips have a difficulty that all networks
    share, but for some noise.
    """

    def answer(candidate: Candidate) -> Trial:
        gains = sum(helps.get(f, 0) * math.log2(v) for f, v in candidate.genotype.factors.items())
        accuracy, lots = min(0.97, base + gains), random.Random(candidate.digest)
        scores = []
        for clip in range(clips):
            difficulty = random.Random(clip).random() + lots.uniform(-0.02, 0.02)
            right = difficulty < accuracy
            group = f"scene {clip % groups}" if groups else None
            score = ClipScore(
                f"clip{clip}", clip % 6, 0 if right else 2, 0.3 if right else 2, group
            )
            scores.append(score)
        curve = tuple(
            {"epoch": epoch, "accuracy": min(1.0, accuracy + gap), "loss": 1.0}
            for epoch in range(10)
        )
        run = Training("ok", None, tuple(scores), 10 * TRAINED_ON, 10**12, 40.0, 2**30, curve)
        cost = get_family("x3d").cost(candidate.plan).totals()
        return Trial(0, "complete", candidate, cost, trainings={TrainingKey(): run})

    strategy = strategy_of("0.3GFLOPs")
    trials = expand_all(strategy, answer)
    return StudyView(
        name="made",
        state="finished",
        family="x3d",
        budget=strategy.budget,
        budget_text="0.3GFLOPs",
        metric=strategy.metric,
        classes=CLASSES,
        trials=tuple(trials),
        steps=strategy.steps(trials),
        best=strategy.result(trials),
    )


def verdicts(view: StudyView) -> dict[str, str]:
    return {answer.what: answer.verdict for answer in advise(view)}


@pytest.mark.parametrize(
    ("limit", "view"),
    [
        ("more clips", made({}, base=0.55, gap=0.44)),
        ("longer clips", made({"gamma_t": 0.1}, base=0.5, gap=0.03)),
        ("a larger network", made({"gamma_d": 0.07, "gamma_w": 0.05}, base=0.5, gap=0.03)),
        ("longer training", made({}, base=0.5, gap=0.02)),
    ],
    ids=WHAT,
)
def test_the_limit_of_a_made_study_is_found_alone(limit: str, view: StudyView) -> None:
    answers = advise(view)
    assert tuple(answer.what for answer in answers) == WHAT
    assert [answer.what for answer in answers if answer.verdict == "yes"] == [limit]
    assert headline(answers) == f"what limits you: {limit} would help"
    assert all(answer.sentence.startswith(f"{answer.what}: ") for answer in answers)


def test_a_study_that_lacks_nothing_is_told_so() -> None:
    answers = advise(made({}, base=0.97, gap=0.02))
    assert {answer.verdict for answer in answers} == {"no"}
    assert headline(answers).startswith("what limits you: none of")


def test_two_limits_are_both_named() -> None:
    answers = advise(made({"gamma_t": 0.12}, base=0.35, gap=0.5))
    assert headline(answers) == "what limits you: more clips and longer clips would help"


@pytest.mark.parametrize(("clips", "groups"), [(8, 0), (400, 4)])
def test_from_too_few_clips_or_scenes_nothing_is_told(clips: int, groups: int) -> None:
    answers = advise(made({"gamma_t": 0.1}, base=0.5, gap=0.4, clips=clips, groups=groups))
    assert {answer.verdict for answer in answers} == {"cannot tell"}
    assert all("too few" in answer.sentence for answer in answers)
    assert headline(answers) == "what limits you: cannot tell"


def test_a_few_more_clips_leave_a_gap_of_some_points_open() -> None:
    assert verdicts(made({}, base=0.8, gap=0.12, clips=40))["more clips"] == "cannot tell"


def test_before_anything_is_trained_nothing_is_told() -> None:
    empty = dataclasses.replace(made({}, base=0.5, gap=0.1), trials=(), steps=(), best=None)
    assert set(verdicts(empty).values()) == {"cannot tell"}


def test_a_record_without_the_accuracy_of_training_clips_is_said_to_lack_it() -> None:
    view = made({}, base=0.5, gap=0.1)
    assert view.best is not None
    bare = {key: dataclasses.replace(run, curve=()) for key, run in view.best.trainings.items()}
    answers = advise(dataclasses.replace(view, best=dataclasses.replace(view.best, trainings=bare)))
    assert answers[0].sentence == (
        "more clips: cannot tell, the record has no accuracy of training clips"
    )


def test_the_gap_has_the_interval_of_both_its_ends() -> None:
    """Independently: of 600 and of 400 clips, binomial, about 1.96 sqrt(p (1 - p) / n)."""
    (clips, *_) = advise(made({}, base=0.55, gap=0.35))
    assert clips.difference is not None and clips.ci95 is not None
    held_out = 0.9 - clips.difference
    half = 1.96 * math.sqrt(0.9 * 0.1 / 600 + held_out * (1 - held_out) / 400)
    assert clips.difference == pytest.approx(0.35, abs=0.05)
    assert clips.ci95[0] == pytest.approx(clips.difference - half, abs=0.01)
    assert clips.ci95[1] == pytest.approx(clips.difference + half, abs=0.01)


def test_answers_are_plain_values() -> None:
    answer = Answer("more clips", "no", "more clips: no", 0.1, (0.0, 0.2))
    assert answer.to_json() == {
        "what": "more clips",
        "would_help": "no",
        "difference": 0.1,
        "ci95": [0.0, 0.2],
        "unit": "points",
        "sentence": "more clips: no",
    }


def with_curve(view: StudyView, accuracies: Mapping[int, float]) -> StudyView:
    """The study with a learning curve: so often right after training on so many clips."""
    assert view.best is not None
    found = {}
    for count, accuracy in accuracies.items():
        alike = made({}, base=accuracy, gap=0.0)
        assert alike.best is not None
        found[count] = dataclasses.replace(view.best, trainings=alike.best.trainings)
    return dataclasses.replace(view, learning=found)


@pytest.mark.parametrize(
    ("accuracies", "verdict"),
    [({150: 0.4, 300: 0.5, 600: 0.6}, "yes"), ({150: 0.4, 300: 0.6, 600: 0.6}, "no")],
)
def test_a_learning_curve_takes_the_place_of_the_gap(
    accuracies: dict[int, float], verdict: str
) -> None:
    view = with_curve(made({}, base=0.6, gap=0.39), accuracies)
    (clips, *_) = advise(view)
    assert clips.verdict == verdict and "600 clips rather than 300 gained" in clips.sentence
    assert "150 clips 4" in clips.sentence and clips.unit == "nats"
    assert advise(dataclasses.replace(view, learning={}))[0].verdict == "yes"
