"""Trainings in full: what stands beside the steps, and that a stop changes no bit of it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

from expand3d.core.errors import ConfigError, FileError
from expand3d.core.extras import Extras
from expand3d.core.result import Interrupted, Training
from expand3d.data.frames import balanced_visits
from expand3d.training import checkpoint as checkpoints
from expand3d.training.batches import ClipBatch, train_batch
from expand3d.training.full import Full
from expand3d.training.placement import place
from expand3d.training.tasks.classify import ClassifyTask, classify, train
from tests.helpers.train_toys import make_plan, make_recipe, make_store

TRAIN, VAL, TEST = tuple(range(12)), tuple(range(12, 18)), tuple(range(18, 24))
ALL = Extras(mixup=0.4, balance="resample", ema=0.9, precise_bn=2, rand_augment=2)
#: 6 steps of 2 passes of 4 clips: four epochs of 12 clips.
RECIPE = make_recipe(clip_visits=48)


def run(folder: Path, full: Full, **changes: Any) -> Training:
    settings: dict[str, Any] = {
        "train_indices": TRAIN,
        "eval_indices": TEST,
        "recipe": RECIPE,
        "seed": 5,
        "forward_macs": 1000,
        "threads": 1,
        "weights_out": folder / "w.safetensors",
        **changes,
    }
    full = dataclasses.replace(full, val=VAL, best=folder / "best.safetensors")
    return train(make_plan(), make_store(), full=full, **settings)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Training]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(folder, Full(ALL))


def test_each_epoch_is_validated_and_the_best_weights_are_kept(
    whole: tuple[Path, Training],
) -> None:
    folder, training = whole
    assert [row["epoch"] for row in training.curve] == [1, 2, 3, 4]
    assert all(0 <= row["val_top1"] <= 1 and row["val_nll"] > 0 for row in training.curve)
    assert len(training.scores) == len(TEST)
    assert (
        load_file(folder / "best.safetensors").keys() == load_file(folder / "w.safetensors").keys()
    )


@pytest.mark.parametrize("calls", [10, 11])
def test_a_stop_anywhere_changes_no_bit(
    whole: tuple[Path, Training], tmp_path: Path, calls: int
) -> None:
    """The 11th question is asked in a validation, whose epoch is trained again; the 12th is not."""
    folder, uninterrupted = whole
    checkpoint = tmp_path / "c.pt"
    left = iter(range(calls))
    with pytest.raises(Interrupted):
        run(tmp_path, Full(ALL), checkpoint=checkpoint, stop=lambda: next(left, None) is None)
    resumed = run(tmp_path, Full(ALL), checkpoint=checkpoint)
    for name in ("w.safetensors", "best.safetensors"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert resumed.scores == uninterrupted.scores
    plain = [{**row, "seconds": 0} for row in resumed.curve]
    assert plain == [{**row, "seconds": 0} for row in uninterrupted.curve]


@pytest.mark.slow
@pytest.mark.parametrize(("extras", "calls"), [(Extras(), 4), (ALL, 10)], ids=["plain", "all"])
def test_smaller_clips_first_are_validated_and_go_on_to_the_same_bits(
    extras: Extras, calls: int, tmp_path: Path
) -> None:
    """Validations read whole clips, before the training does; the second epoch is at 24 pixels."""
    recipe = dataclasses.replace(RECIPE, multigrid="long")
    whole = run(tmp_path, Full(extras), recipe=recipe)
    files = [(tmp_path / name).read_bytes() for name in ("w.safetensors", "best.safetensors")]
    left, checkpoint = iter(range(calls)), tmp_path / "c.pt"
    with pytest.raises(Interrupted):
        stop = {"stop": lambda: next(left, None) is None}
        run(tmp_path, Full(extras), recipe=recipe, checkpoint=checkpoint, **stop)
    resumed = run(tmp_path, Full(extras), recipe=recipe, checkpoint=checkpoint)
    again = [(tmp_path / name).read_bytes() for name in ("w.safetensors", "best.safetensors")]
    assert again == files and resumed.scores == whole.scores
    assert [row["val_nll"] for row in resumed.curve] == [row["val_nll"] for row in whole.curve]


def test_a_checkpoint_of_other_choices_is_not_continued(tmp_path: Path) -> None:
    checkpoint = tmp_path / "c.pt"
    left = iter(range(4))
    with pytest.raises(Interrupted):
        run(tmp_path, Full(ALL), checkpoint=checkpoint, stop=lambda: next(left, None) is None)
    other = run(tmp_path, Full(Extras(ema=0.9)), checkpoint=checkpoint)
    assert other.notes == ("checkpoint c.pt ignored: of another recipe",)


def test_what_is_kept_is_the_average_of_the_weights(tmp_path: Path) -> None:
    """By hand: every step's weights, as checkpoints of shorter parts have them."""
    states = []
    for steps in range(1, 7):
        run(tmp_path, Full(), checkpoint=tmp_path / "c.pt", until=8 * steps)
        states.append(load_file(tmp_path / "w.safetensors"))
    torch.manual_seed(0)
    run(tmp_path, Full(Extras(ema=0.5)))
    found = load_file(tmp_path / "w.safetensors")
    first = ClassifyTask(make_plan(), make_store(), TRAIN, (), RECIPE, 5)
    with torch.random.fork_rng():
        from expand3d.data.frames import derived_seed

        torch.manual_seed(derived_seed("weights", 5))
        average = {k: v.double() for k, v in first.build().state_dict().items()}
    for step, state in enumerate(states, start=1):
        keeps = min(0.5, (1 + step) / (10 + step))
        average = {k: keeps * v + (1 - keeps) * state[k].double() for k, v in average.items()}
    for name, value in found.items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), average[name], rtol=1e-4, atol=1e-5)


def test_the_last_epoch_is_validated_however_many_lie_between(tmp_path: Path) -> None:
    training = run(tmp_path, Full(every=3))
    assert [row["epoch"] for row in training.curve if "val_top1" in row] == [3, 4]


def test_the_best_weights_may_be_the_kept_ones(tmp_path: Path) -> None:
    training = run(tmp_path, Full(keep_best=True))
    best = load_file(tmp_path / "best.safetensors")
    kept = load_file(tmp_path / "w.safetensors")
    assert all(torch.equal(kept[name], value) for name, value in best.items())
    assert training.status == "ok"


def test_a_full_disk_ends_it_and_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / "c.pt"
    run(tmp_path, Full(), checkpoint=checkpoint, until=16)
    before = checkpoint.read_bytes()
    monkeypatch.setattr(checkpoints, "SPARE_DISK", 2**60)
    with pytest.raises(FileError, match="MiB are needed; the last good checkpoint stays"):
        run(tmp_path, Full(), checkpoint=checkpoint)
    assert checkpoint.read_bytes() == before


def test_balanced_visits_see_every_class_equally_often() -> None:
    labels = [0] * 9 + [1] * 2 + [2]
    seen = balanced_visits(3, labels, start=0, count=54)
    assert Counter(labels[visit.position] for visit in seen) == {0: 18, 1: 18, 2: 18}
    assert Counter(visit.position for visit in seen)[0] == 2
    assert len({visit for visit in seen}) == 54  # a clip is never drawn twice alike
    assert seen[20:30] == balanced_visits(3, labels, start=20, count=10)


def test_weights_of_classes_make_each_count_alike() -> None:
    labels = [0, 0, 0, 1]
    store = dataclasses.replace(make_store(4), labels=labels)
    task = ClassifyTask(
        make_plan(), store, (0, 1, 2, 3), (), RECIPE, 0, extras=Extras(balance="weights")
    )
    weights = task.class_weights
    assert weights is not None
    assert weights.tolist() == pytest.approx([4 / 6, 2])
    assert sum(weights[label] for label in labels) == pytest.approx(4)


def test_a_mixed_batch_has_the_mixed_loss() -> None:
    views = torch.randint(0, 255, (4, 2, 4, 4, 3), dtype=torch.uint8)
    labels, share = torch.tensor([0, 1, 1, 0]), 0.7
    recipe = make_recipe(label_smoothing=0.1)

    class Sums(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([x.sum((1, 2, 3, 4)), x[:, 0].sum((1, 2, 3))], 1) / 30

    found = classify(
        Sums(),
        ClipBatch((views,), labels, share),
        recipe=recipe,
        placement=place(recipe),
    )
    pixels = (views.double() / 255 - 0.45) / 0.225
    mixed = share * pixels + (1 - share) * pixels[[3, 2, 1, 0]]
    logits = torch.stack([mixed.sum((1, 2, 3, 4)), mixed[..., 0].sum((1, 2, 3))], 1) / 30
    loss = share * cross_entropy(logits, labels, label_smoothing=0.1)
    loss += (1 - share) * cross_entropy(logits, labels[[3, 2, 1, 0]], label_smoothing=0.1)
    assert found.loss.item() == pytest.approx(loss.item(), rel=1e-4)
    assert found.correct == (logits.argmax(1) == labels).sum()


def test_the_share_of_a_mixture_is_of_the_pass_alone() -> None:
    settings: dict[str, Any] = {"plan": make_plan(), "recipe": RECIPE, "seed": 1, "count": 4}
    extras = Extras(mixup=0.4)

    def share(start: int) -> float:
        return train_batch(make_store(), TRAIN, start=start, extras=extras, **settings).share

    shares = [share(start) for start in (0, 4, 8)]
    assert shares == [share(start) for start in (0, 4, 8)] and len(set(shares)) == 3
    assert np.all((np.array(shares) >= 0.5) & (np.array(shares) <= 1))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"balance": "wieghts"}, "did you mean 'weights'"),
        ({"mixup": -1}, "mixup = -1 must be a number from 0"),
        ({"ema": 1.0}, "ema = 1.0 must lie in"),
    ],
)
def test_choices_that_are_not_legal(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Extras(**values)


@pytest.mark.slow
def test_a_compiled_training_gives_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as the tracing goes: compiling C++ takes minutes. The names are the network's own."""
    compile_of = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compile_of(self, backend="eager"))
    for name in ("plain", "compiled"):
        (tmp_path / name).mkdir()
    run(tmp_path / "plain", Full())
    training = run(tmp_path / "compiled", Full(compiled=True))
    assert training.environment["compile"] == "on"
    plain, compiled = (load_file(tmp_path / n / "w.safetensors") for n in ("plain", "compiled"))
    assert plain.keys() == compiled.keys()
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, rtol=1e-3, atol=1e-3)
