"""A comparison of studies against areas and sums counted by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from expand3d.core.errors import ConfigError, StudyError
from expand3d.core.measured import Latency
from expand3d.core.quantity import LATENCY
from expand3d.core.result import TrainingKey
from expand3d.core.trial import Trial
from expand3d.report.compare.comparison import (
    compare_studies,
    comparison_rows,
    curve_rows,
    strategy_text,
)
from expand3d.report.study.view import StudyView
from expand3d.study.config import StudyConfig
from tests.helpers.several_studies import Made, clip_scores, made_up, searched
from tests.helpers.studies import expanded

# Chance is 0.5 and the largest budget 500, so hypervolumes reach up to (0.5, 1000): a network of 10
# multiply-adds has 2 decades to there, one of 100 has 1.
SLOW = [Made(10, 6, 1), Made(100, 9, 4), Made(50, None, 2), Made(100, 5, 1), Made(2000, 10, 1)]
QUICK = [Made(100, 8, 3), Made(10, 7, 1)]


def test_hypervolume_over_training_is_that_counted_by_hand() -> None:
    slow, quick = compare_studies(
        [made_up("slow", SLOW), made_up("quick", QUICK, budget=50)]
    ).studies
    # 0.1 x 2; then 0.3 x 1 more. A failed, a dominated and a too costly network add only cost.
    assert [step.training_macs / 1e12 for step in slow.curve] == [1, 5, 7, 8, 9]
    assert [step.hypervolume for step in slow.curve] == pytest.approx([0.2, 0.5, 0.5, 0.5, 0.5])
    # 0.3 x 1; then 0.2 x 2 + 0.1 x 1. The smaller budget does not move the reference.
    assert [step.training_macs / 1e12 for step in quick.curve] == [3, 4]
    assert [step.hypervolume for step in quick.curve] == pytest.approx([0.3, 0.5])
    assert [trial.number for trial in slow.frontier] == [0, 1, 4]


def test_studies_are_compared_where_the_cheapest_ends() -> None:
    comparison = compare_studies([made_up("slow", SLOW), made_up("quick", QUICK)])
    assert comparison.equal_training == 4 * 10**12
    slow, quick = comparison_rows(comparison)
    # The second network of `slow` was paid for with 5 TMACs: at 4 it is not there yet.
    assert slow["hypervolume_at_equal_training"] == pytest.approx(0.2)
    assert quick["hypervolume_at_equal_training"] == pytest.approx(0.5)
    assert comparison.studies[0].hypervolume_at(10**12 - 1) == 0
    assert comparison.studies[0].hypervolume_at(10**12) == pytest.approx(0.2)


def test_rows_hold_the_winner_and_what_it_took() -> None:
    comparison = compare_studies(
        [made_up("slow", SLOW[:4], seed=7), made_up("quick", QUICK, seed=7)]
    )
    row, other = comparison_rows(comparison)
    assert (row["study"], row["strategy"], row["seed"]) == ("slow", "tpe", 7)
    assert (row["networks"], row["scored"], row["best_trial"]) == (4, 3, 3)
    assert (row["training_tmacs"], row["training_seconds"]) == (8, 10)
    assert (row["macs"], row["cost"], row["validation_clips"]) == (100, 100, 10)
    assert row["top1"] == 0.5 and row["nll"] == pytest.approx((5 * 0.25 + 5 * 1.25) / 10)
    # Wilson's interval of 5 in 10 with z^2 = 3.8415:
    # (0.5 + z^2 / 20 -+ sqrt(0.025 z^2 + z^4 / 400)) / (1 + z^2 / 10).
    assert (row["top1_ci_low"], row["top1_ci_high"]) == pytest.approx((0.23659, 0.76341), abs=1e-5)
    assert other["hypervolume"] == pytest.approx(0.5)
    assert curve_rows(comparison)[-1] == {
        "study": "quick",
        "trial": 1,
        "training_tmacs": 4.0,
        "hypervolume": pytest.approx(0.5),
    }
    assert [row["trial"] for row in curve_rows(comparison)] == [0, 1, 2, 3, 0, 1]


def test_a_study_without_a_winner_has_a_row() -> None:
    none = dataclasses.replace(made_up("slow", SLOW), best=None)
    row = comparison_rows(compare_studies([none, made_up("quick", QUICK)]))[0]
    assert row["best_trial"] is None and row["top1"] is None and row["cost"] is None
    assert row["hypervolume"] == pytest.approx(0.5)


def test_published_networks_beside_the_search_do_not_count() -> None:
    beside = [*QUICK, Made(1, 10, 50, role="baseline")]
    (_, with_one), (_, without) = (
        compare_studies([made_up("slow", SLOW), made_up("quick", networks)]).studies
        for networks in (beside, QUICK)
    )
    assert with_one.curve == without.curve
    assert [t.number for t in with_one.scored] == [0, 1]
    # Where a step offers the same network, the baseline answers it and counts.
    view = expanded("0.05GFLOPs", clips=30)
    base = view.trials[0]
    candidate = dataclasses.replace(base.candidate, role="baseline")
    named = dataclasses.replace(base, candidate=candidate)
    assert dataclasses.replace(view, trials=(named, *view.trials[1:])).asked[0] is named


def test_failures_without_a_count_are_told() -> None:
    lost = dataclasses.replace(_last(made_up("slow", SLOW[:3])), trainings={}, reason="worker lost")
    view = made_up("slow", SLOW[:2])
    view = dataclasses.replace(view, trials=(*view.trials, lost))
    study, other = compare_studies([view, made_up("counted", SLOW)]).studies
    assert (study.uncounted, other.uncounted) == (1, 0)
    assert study.end.training_macs == 5 * 10**12


def _last(view: StudyView) -> Trial:
    return view.trials[-1]


def _with_clips(view: StudyView, **where: Any) -> StudyView:
    """The study as if it had been scored on other clips."""
    trials = tuple(
        dataclasses.replace(
            trial,
            trainings={
                key: dataclasses.replace(run, scores=clip_scores(8, **where))
                for key, run in trial.trainings.items()
            },
        )
        for trial in view.trials
    )
    return dataclasses.replace(view, trials=trials, best=trials[-1])


def _with_latencies(view: StudyView, hardware: str) -> StudyView:
    def priced(trial: Trial) -> Trial:
        latency = Latency(3.0, 2.9, 3.1, 100, "cpu", hardware, 2, "eval, float32")
        candidate = dataclasses.replace(trial.candidate, price=3 * 10**6, latency=latency)
        return dataclasses.replace(trial, candidate=candidate)

    trials = tuple(map(priced, view.trials))
    return dataclasses.replace(view, trials=trials, best=trials[-1], quantity=LATENCY)


OTHER = made_up("other", QUICK)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (dataclasses.replace(OTHER, classes=("a", "b", "c")), "they have 2 and 3 classes"),
        (dataclasses.replace(OTHER, classes=("falls", "sits")), "('stands' and 'sits')"),
        (dataclasses.replace(OTHER, fingerprint="1234"), "9f3c2a7710d4e8b1 and 1234"),
        (made_up("other", QUICK, repeats=2), "repeats = 1 and 2"),
        (made_up("other", QUICK, folds=3), "folds = 1 and 3"),
        (_with_clips(OTHER, clips=12), "validation clips differ (10 and 12, 10 in both)"),
        (_with_clips(OTHER, first=4), "validation clips differ (10 and 10, 6 in both)"),
        (_with_latencies(OTHER, "this"), "count multiply-adds and milliseconds"),
    ],
)
def test_what_does_not_compare_is_refused_by_name(other: StudyView, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compare_studies([made_up("one", QUICK), made_up("two", QUICK), other])
    assert str(caught.value).startswith("studies 'one' and 'other' cannot be compared: ")
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_other_folds_of_the_same_clips_are_refused() -> None:
    def folded(name: str, cut: int) -> StudyView:
        view = made_up(name, QUICK, folds=2)
        run = view.trials[0].trainings[TrainingKey()]
        halves = {TrainingKey(): run.scores[:cut], TrainingKey(1): run.scores[cut:]}
        runs = {k: dataclasses.replace(run, scores=tuple(part)) for k, part in halves.items()}
        trial = dataclasses.replace(view.trials[0], trainings=runs)
        return dataclasses.replace(view, trials=(trial,), best=trial)

    assert compare_studies([folded("one", 5), folded("two", 5)]).clips == 10
    with pytest.raises(ConfigError, match=r"\(10 and 10, in other folds\)"):
        compare_studies([folded("one", 5), folded("two", 4)])


def test_latencies_of_other_hardware_are_refused() -> None:
    one = _with_latencies(made_up("one", QUICK), "Xeon")
    assert compare_studies([one, _with_latencies(OTHER, "Xeon")]).unlike is None
    with pytest.raises(ConfigError, match="of Xeon, 2 threads and of Atom, 2 threads"):
        compare_studies([one, _with_latencies(OTHER, "Atom")])


def test_other_recipes_are_told_in_one_line() -> None:
    same = [made_up("one", QUICK), made_up("two", SLOW, budget=9)]
    assert compare_studies(same).unlike is None
    odd = made_up("odd", QUICK, seed=4, recipe={"batch": 32})
    assert compare_studies([*same, odd]).unlike == (
        "not trained alike: batch 16 (one, two), 32 (odd); seed 0 (one, two), 4 (odd)"
    )


def test_a_study_is_named_once_and_has_scores() -> None:
    with pytest.raises(ConfigError, match="'one' is named twice"):
        compare_studies([made_up("one", QUICK), OTHER, made_up("one", QUICK)])
    with pytest.raises(StudyError, match="'none' has no scored network yet"):
        compare_studies([OTHER, made_up("none", [Made(10, None, 1)])])
    with pytest.raises(StudyError, match="'beside' has no scored network yet"):
        compare_studies([OTHER, made_up("beside", [Made(10, 9, 1, role="baseline")])])


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({}, "expand"),
        ({"beam": 3, "growth": "both"}, "expand (growth both, beam 3)"),
        ({"schedule": "paper", "first_clip": (4, 6)}, "expand (schedule paper, first_clip 4x6)"),
        ({"strategy": "nsga2", "trials": 12, "seed": 2}, "nsga2"),
        ({"strategy": "tpe", "batch": 4}, "tpe (batch 4)"),
    ],
)
def test_strategies_are_named_with_what_is_not_default(keys: dict[str, Any], text: str) -> None:
    assert strategy_text(StudyConfig(budget="1G", **keys)) == text


def test_the_end_of_a_curve_is_the_hypervolume_of_the_studys_own_report() -> None:
    grown, tpe = searched("grown"), searched("tpe", strategy="tpe", trials=8)
    comparison = compare_studies([grown, tpe])
    for study, view in zip(comparison.studies, (grown, tpe), strict=True):
        assert study.end.hypervolume == pytest.approx(view.hypervolume)
        assert study.end.training_macs == sum(3000 * t.candidate.macs for t in view.complete)
        areas = [step.hypervolume for step in study.curve]
        assert areas == sorted(areas)
    # sqrt(0.3 / 300) x 2.8
    assert comparison.resolution.top1 == pytest.approx(0.0885, abs=1e-3)
