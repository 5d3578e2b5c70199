"""Choosing: estimates, paired bootstrap, ties, and what a validation set can resolve."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expand3d.core.result import TrainingKey
from expand3d.core.trial import Candidate, Trial
from expand3d.search.statistics import (
    RESAMPLES,
    Comparison,
    Metric,
    _Paired,
    choose,
    default_metric,
    estimate,
    label,
    rank,
    resolvable_difference,
)
from tests.helpers.scored_trials import trial_of

MakeTrial = Callable[..., Trial]
MakeCandidate = Callable[..., Candidate]


def compare(
    a: Trial, b: Trial, *, metric: Metric, seed: int, resamples: int = RESAMPLES
) -> Comparison:
    """The gain of `a` over `b`, by the bootstrap that `choose` asks in its own order."""
    paired = _Paired.of([a, b], metric)
    return paired.compare(0, 1, paired.resampled_means(seed, resamples))


def test_estimate_averages_repeats_per_clip_and_pools_folds(make_trial: MakeTrial) -> None:
    fold0 = make_trial([1, 0], [0.5, 1.5]).trainings[TrainingKey()]
    again = make_trial([0, 0], [1.5, 2.5]).trainings[TrainingKey()]
    fold1 = make_trial([1], [1.0], first=2).trainings[TrainingKey()]
    trial = replace(
        make_trial([1]),
        trainings={TrainingKey(): fold0, TrainingKey(0, 1): again, TrainingKey(1): fold1},
    )
    # Clips: (1 + 0) / 2, 0, 1 and (0.5 + 1.5) / 2, (1.5 + 2.5) / 2, 1.
    assert estimate(trial).top1 == pytest.approx(0.5)
    assert estimate(trial).nll == pytest.approx(4 / 3)
    assert estimate(trial).clips == 3


def test_bootstrap_equals_an_independent_one_within_its_own_noise(make_trial: MakeTrial) -> None:
    rng = np.random.default_rng(5)
    a, b = rng.gamma(2, 0.5, 60), rng.gamma(2, 0.55, 60)
    found = compare(
        make_trial([1] * 60, list(a)), make_trial([1] * 60, list(b)), metric="nll", seed=1
    )
    other = np.random.default_rng(99)
    means = np.array([(b - a)[other.choice(60, 60)].mean() for _ in range(20_000)])
    assert found.difference == pytest.approx((b - a).mean())
    # 4 standard errors of a share, or of a percentile, from 2,000 resamples.
    assert found.p_better == pytest.approx((means > 0).mean(), abs=4 * 0.5 / math.sqrt(2000))
    assert found.ci95 == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.2 * means.std())
    assert found.units == "60 clips"


def test_bootstrap_of_one_discordant_clip_is_exact(make_trial: MakeTrial) -> None:
    """One clip in 24 differs: a is better whenever it is drawn, 1 - (23/24)^24; else a tie."""
    a, b = make_trial([1] * 24), make_trial([1] * 23 + [0])
    found = compare(a, b, metric="top1", seed=0, resamples=20_000)
    drawn = 1 - (23 / 24) ** 24
    assert found.difference == pytest.approx(1 / 24)
    assert found.p_better == pytest.approx(drawn + (1 - drawn) / 2, abs=0.01)
    assert found.ci95[0] == 0.0


def test_comparison_is_antisymmetric(make_trial: MakeTrial) -> None:
    a, b = make_trial([1, 1, 0, 1, 0, 1]), make_trial([0, 1, 1, 0, 0, 1])
    one, other = (compare(*pair, metric="top1", seed=3) for pair in ((a, b), (b, a)))
    assert one.difference == -other.difference > 0
    assert one.p_better == pytest.approx(1 - other.p_better)
    assert one.ci95 == pytest.approx((-other.ci95[1], -other.ci95[0]))


def test_equal_trials_are_a_coin_toss(make_trial: MakeTrial) -> None:
    # Thirds over repeats are not exact in floats: equality must not hang on the last bit.
    a = make_trial([1, 0, 1], [0.1, 0.2, 0.3])
    b = make_trial([1, 1, 0], [0.3, 0.1, 0.2])
    assert compare(a, a, metric="nll", seed=0).p_better == 0.5
    assert compare(a, b, metric="nll", seed=0).difference == pytest.approx(0, abs=1e-12)


def test_groups_are_resampled_from_ten_on(make_trial: MakeTrial) -> None:
    """All clips of a group agree: over groups, half the groups lose; over clips, far surer."""

    def pair(count: int) -> tuple[Trial, Trial]:
        groups = [f"g{i // 8}" for i in range(8 * count)]
        won = [int(i // 8 % 3 > 0) for i in range(8 * count)]
        return (
            make_trial(won, groups=groups),
            make_trial([1 - right for right in won], groups=groups),
        )

    ten = compare(*pair(10), metric="top1", seed=0)
    assert ten.units == "10 groups"
    # Groups of 6 won against 4 lost: the spread is that of 10 draws, not of 80.
    assert ten.ci95 is not None
    spread = 2 * math.sqrt(0.6 * 0.4 / 10)
    assert (ten.ci95[1] - ten.ci95[0]) / 3.92 == pytest.approx(spread, rel=0.15)
    # Of nine groups nothing is drawn, nor of their 72 clips as if each stood for itself.
    nine = choose(pair(9), metric="top1", seed=0)
    assert nine.comparison is not None and nine.comparison.units == "9 groups"
    assert nine.comparison.difference == pytest.approx(6 / 9 - 3 / 9)
    assert (nine.sure, nine.comparison.ci95, nine.comparison.p_better) == (None, None, None)
    assert "not resolved: 9 groups, too few" in nine.text


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=14),
    lone=st.integers(0, 14),
    data=st.data(),
)
def test_certainty_is_said_from_ten_units_on_with_what_it_speaks_of(
    sizes: list[int], lone: int, data: st.DataObject
) -> None:
    """Groups of any sizes beside clips without one; a network wins by its mean all the same."""
    groups: list[str | None] = [f"g{n}" for n, size in enumerate(sizes) for _ in range(size)]
    groups += [None] * lone
    right = st.lists(st.integers(0, 1), min_size=len(groups), max_size=len(groups))
    one, other = data.draw(right), data.draw(right)
    trials = [trial_of(one, groups=groups, number=0), trial_of(other, groups=groups, number=1)]
    choice = choose(trials, metric="top1", seed=0, resamples=50)
    assert estimate(choice.best).top1 == max(sum(one), sum(other)) / len(groups)
    comparison = choice.comparison
    assert comparison is not None
    assert comparison.difference == pytest.approx(abs(sum(one) - sum(other)) / len(groups))
    enough = len(sizes) + lone >= 10
    assert (choice.sure is not None) == (comparison.ci95 is not None) == enough
    assert ("% of resamples of" in choice.text) == ("95%" in choice.text or enough) == enough
    assert not enough or "(these trainings, not other seeds)" in choice.text
    assert enough or ("not resolved" in choice.text and not comparison.resolved)
    said = choice.to_json()["comparison"]
    assert said["resolved"] == comparison.resolved and "not other seeds" in said["scope"]


@given(
    labels=st.lists(st.integers(0, 3), min_size=10, max_size=40),
    data=st.data(),
)
def test_mean_class_accuracy_decides_by_the_mean_of_the_classes(
    labels: list[int], data: st.DataObject
) -> None:
    right = st.lists(st.integers(0, 1), min_size=len(labels), max_size=len(labels))
    hits = [np.array(data.draw(right)), np.array(data.draw(right))]
    trials = [trial_of(list(h), labels=labels, number=n) for n, h in enumerate(hits)]
    of = np.array(labels)

    def recall(hit: np.ndarray) -> float:
        return float(np.mean([hit[of == label].mean() for label in set(labels)]))

    choice = choose(trials, metric="mean_class", seed=0, resamples=200)
    first, second = sorted(map(recall, hits), reverse=True)
    assert estimate(choice.best).gain("mean_class") == pytest.approx(first)
    assert choice.comparison is not None
    assert choice.comparison.difference == pytest.approx(first - second, abs=1e-12)
    said = re.search(r"mean class accuracy ([\d.]+)%", choice.text)
    assert said and abs(float(said[1]) - 100 * first) < 0.05 + 1e-9  # a tie is rounded either way


def test_the_bootstrap_of_mean_class_accuracy_is_that_of_the_classes() -> None:
    """100 clips to 10: of the rare class alone the spread is that of 10 draws."""
    labels = [0] * 1000 + [1] * 10
    one = trial_of([1] * 1000 + [1, 0] * 5, labels=labels)
    other = trial_of([1] * 1000 + [0, 0] * 5, labels=labels)
    found = compare(one, other, metric="mean_class", seed=0)
    assert found.difference == pytest.approx(0.25)  # half of the rare class, over two classes
    assert found.ci95 is not None
    spread = math.sqrt(0.5 * 0.5 / 10) / 2
    assert (found.ci95[1] - found.ci95[0]) / 3.92 == pytest.approx(spread, rel=0.2)


def test_one_clip_resolves_nothing(make_trial: MakeTrial) -> None:
    choice = choose([make_trial([1], [0.1]), make_trial([0], [0.9])], metric="nll", seed=0)
    assert choice.sure is None
    assert choice.text.endswith("not resolved: 1 clip, too few to say how sure it is")
    assert "100%" not in choice.text and "95%" not in choice.text


def test_an_interval_that_holds_zero_is_not_resolved(make_trial: MakeTrial) -> None:
    even = choose(
        [make_trial([1, 0] * 20), make_trial([0, 1] * 19 + [1, 0])], metric="top1", seed=0
    )
    assert even.comparison is not None and not even.comparison.resolved
    assert "; not resolved: best in" in even.text
    clear = choose([make_trial([1] * 40), make_trial([0] * 40)], metric="top1", seed=0)
    assert clear.comparison is not None and clear.comparison.resolved
    assert "not resolved" not in clear.text


def test_groups_of_unequal_size_weigh_by_their_clips(make_trial: MakeTrial) -> None:
    groups = ["big"] * 30 + [f"g{i}" for i in range(9)]
    a = make_trial([1] * 30 + [0] * 9, groups=groups)
    b = make_trial([0] * 30 + [1] * 9, groups=groups)
    found = compare(a, b, metric="top1", seed=0)
    assert found.difference == pytest.approx((30 - 9) / 39)
    # Without the big group in the draw, b is better: (9/10)^10 of the time.
    assert found.p_better == pytest.approx(1 - 0.9**10, abs=0.05)


def test_only_clips_of_both_are_compared(make_trial: MakeTrial) -> None:
    a, b = make_trial([1, 1, 0]), make_trial([0, 0, 0], first=1)
    assert compare(a, b, metric="top1", seed=0).difference == 0.5
    assert compare(a, b, metric="top1", seed=0).units == "2 clips"


def test_the_best_estimate_wins(make_trial: MakeTrial, make_candidate: MakeCandidate) -> None:
    trials = [
        make_trial([1, 1, 0, 0] * 3, [9] * 12, candidate=make_candidate(axis="gamma_s", macs=9)),
        make_trial([1, 0, 0, 0] * 3, [1] * 12, candidate=make_candidate(axis="gamma_t", macs=9)),
    ]
    by_top1, by_nll = (choose(trials, metric=metric, seed=0) for metric in ("top1", "nll"))  # type: ignore[arg-type]
    assert by_top1.best is trials[0]
    assert by_nll.best is trials[1]
    assert by_nll.runner_up is trials[0]
    assert by_nll.sure == 1.0
    assert "8.000 nats better than gamma_s" in by_nll.text
    assert "top-1 50.0%, 25.0 points better than gamma_t" in by_top1.text


def test_equal_estimates_the_cheaper(make_trial: MakeTrial, make_candidate: MakeCandidate) -> None:
    dear = make_trial([1, 0, 0], candidate=make_candidate(axis="gamma_s", macs=300))
    cheap = make_trial([0, 0, 1], candidate=make_candidate(axis="gamma_t", macs=200))
    middle = make_trial([0, 1, 0], candidate=make_candidate(axis="gamma_b", macs=250))
    for order in ([dear, cheap, middle], [middle, dear, cheap], [cheap, middle, dear]):
        choice = choose(order, metric="top1", seed=0)
        assert choice.best is cheap
        assert choice.runner_up is middle
        assert "equal to gamma_b" in choice.text
    better = make_trial([1, 1, 0], candidate=make_candidate(axis="gamma_d", macs=900))
    assert choose([dear, cheap, better], metric="top1", seed=0).best is better


def test_sums_in_another_order_are_equal_estimates(
    make_trial: MakeTrial, make_candidate: MakeCandidate
) -> None:
    nll = [0.1, 0.2, 0.3, 0.7, 1.1, 1e-9]
    dear = make_trial([1] * 6, nll, candidate=make_candidate(macs=300))
    cheap = make_trial([1] * 6, nll[::-1], candidate=make_candidate(macs=200))
    assert rank([dear, cheap], "nll") == [cheap, dear]


def test_sure_is_the_share_of_resamples_in_which_the_best_is_best(make_trial: MakeTrial) -> None:
    """Three networks, each alone right on its own third of the clips: a third each."""
    thirds = np.repeat(np.arange(3), 40)
    trials = [make_trial(list((thirds == own).astype(int)), number=own) for own in range(3)]
    choice = choose(trials, metric="top1", seed=0)
    assert choice.sure == pytest.approx(1 / 3, abs=0.05)
    assert choice.comparison is not None
    assert choice.comparison.p_better == pytest.approx(1 / 2, abs=0.05)


def test_one_network_is_chosen_without_a_contest(make_trial: MakeTrial) -> None:
    choice = choose([make_trial([1, 0])], metric="nll", seed=0)
    assert choice.sure == 1.0
    assert choice.runner_up is choice.comparison is None
    assert choice.to_json()["runner_up"] is None


def test_choices_repeat_and_depend_on_the_seed_alone(make_trial: MakeTrial) -> None:
    rng = np.random.default_rng(0)
    trials = [make_trial([1] * 30, list(rng.gamma(2, 1, 30)), number=i) for i in range(4)]
    first = choose(trials, metric="nll", seed=7)
    assert choose(trials[::-1], metric="nll", seed=7) == first
    assert choose(trials, metric="nll", seed=8).best is first.best


def test_many_clips_are_resampled_in_pieces(make_trial: MakeTrial) -> None:
    rng = np.random.default_rng(2)
    a, b = (list((rng.random(5000) < p).astype(int)) for p in (0.52, 0.5))
    found = compare(make_trial(a), make_trial(b), metric="top1", seed=0)
    deltas = np.array(a) - np.array(b)
    # Normal theory: the interval's half width is 1.96 standard errors of a paired mean.
    half = (found.ci95[1] - found.ci95[0]) / 2
    assert half == pytest.approx(1.96 * deltas.std() / math.sqrt(5000), rel=0.06)


@pytest.mark.parametrize(
    ("clips", "metric"), [(24, "nll"), (999, "nll"), (1000, "top1"), (20_000, "top1")]
)
def test_default_metric(clips: int, metric: str) -> None:
    assert default_metric(clips) == metric


def test_resolvable_difference_has_the_power_it_states() -> None:
    """Simulated McNemar tests at the stated difference are significant about 80% of the time."""
    clips = 400
    gap = resolvable_difference(clips).top1
    rng = np.random.default_rng(0)
    wins, losses = (0.3 + gap) / 2, (0.3 - gap) / 2
    counts = rng.multinomial(clips, [wins, losses, 1 - wins - losses], size=4000)
    z = (counts[:, 0] - counts[:, 1]) / np.sqrt(counts[:, 0] + counts[:, 1])
    assert (z > 1.96).mean() == pytest.approx(0.8, abs=0.04)


def test_resolvable_difference_says_what_would_sharpen_it() -> None:
    # By hand: 2.802 x sqrt(0.3 / 24) = 0.313; with 96 clips half of it; 16 groups 0.384;
    # 5 points: 0.3 x (2.802 / 0.05)^2 = 942.2.
    found = resolvable_difference(24, groups=16, pool=96)
    assert found.top1 == pytest.approx(0.3133, abs=1e-4)
    assert "24 validation clips can resolve about 31 points" in found.text
    assert "up to 38 points" in found.text
    assert "--folds K would score 96 clips: 16 points" in found.text
    assert "5 points need 943 clips" in found.text
    assert "need" not in resolvable_difference(2000).text
    assert "too few" not in found.text
    assert "1 validation clips are too few for an interval" in resolvable_difference(1).text
    assert "4 groups of clips are too few" in resolvable_difference(24, groups=4).text
    assert resolvable_difference(1).top1 == 1.0


def test_labels(make_candidate: MakeCandidate) -> None:
    assert label(make_candidate(role="base")) == "base"
    assert label(make_candidate(axis="gamma_tau", merged=("gamma_t",))) == "gamma_tau = gamma_t"
    assert label(make_candidate(axis="gamma_t", role="contract")) == "gamma_t contracted"
