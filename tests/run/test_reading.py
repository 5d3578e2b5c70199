"""`eval` and `predict` of networks that read flow, stacks and segments: as their training tests."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from expand3d.cli.main import main
from expand3d.core.genotype import Genotype
from expand3d.core.recipe import get_profile
from expand3d.data.decode import decode
from expand3d.data.flow.quantise import quantise
from expand3d.data.flow.store import FlowSpec, flow_of
from expand3d.data.in_memory import Reading
from expand3d.data.sliding import Seen, Slider, Sliding
from expand3d.interop.json_folder import load_export
from expand3d.networks import get_family
from expand3d.run.events import Watch
from expand3d.run.reading import AsTrained
from expand3d.run.train import Wanted, prepare_training
from expand3d.study.sections import Data, Execution
from expand3d.training.placement import place
from expand3d.training.scoring import Scorer, score_clips
from expand3d.training.views import test_view as one_view
from tests.helpers.exported import exported
from tests.helpers.made_videos import write_video
from tests.helpers.moving import moving

cv2 = pytest.importorskip("cv2", reason="needs the extra flow")

NAMES = ("class0", "class1")
FLOW = {"method": "farneback", "short_side": 40, "distance": 2, "bound": 8.0}
FLAGS = ["--flow", "farneback", "--flow-size", "40", "--flow-distance", "2", "--flow-bound", "8"]
#: Two streams of a pixel's picture and a stack of two fields; segments; clips; frames in a stack.
NETWORKS: dict[str, dict[str, float]] = {
    "twostream": {},
    "tsn": {"segments": 3, "streams": 2, "stack": 2},
    "i3d_twostream": {"gamma_t": 4, "gamma_tau": 2},
    "hidden_twostream": {},
    "x3d": {"gamma_t": 2, "gamma_tau": 3},
}


def genotype(family: str) -> Genotype:
    base = get_family(family).base
    small = {"gamma_s": 32 / 112, "gamma_w": 1 / 3 if family == "x3d" else 1 / 16}
    return base.replace(**{k: v for k, v in small.items() if k in base.factors}, **NETWORKS[family])


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Textures that move, wider than high and larger than flow is computed at."""
    folder = tmp_path_factory.mktemp("moving")
    rows = [["path", "label_name", "split"]]
    for number in range(8):
        clip = moving((number % 3 - 1, number % 2), frames=14 + number, seed=number, side=52)
        write_video(folder / f"clip{number}.mp4", list(clip[:, :44]))
        split = "test" if number < 4 else "val" if number < 6 else "train"
        rows.append([f"clip{number}.mp4", NAMES[number % 2], split])
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network") / "net"
    return exported(folder, genotype=genotype("twostream"), provenance={"flow": FLOW})


def trainers_scores(network: Path, videos: Path, genotype: Genotype) -> list[tuple[str, float]]:
    """Key and log-loss of each clip of the test part, as the training itself scores them."""
    recipe = dataclasses.replace(get_profile("final"), test_views=2, bn_batch=2, batch=2)
    wanted = Wanted(
        title="flow",
        genotype=genotype,
        data=Data(
            data=str(videos), flow="farneback", flow_size=40, flow_distance=2, flow_bound=8.0
        ),
        execution=Execution(threads=1, device="cpu"),
        out=videos.parent / "out",
        recipe=recipe,
    )
    ready = prepare_training(wanted, Watch())
    model = load_export(network).build()
    scorer = Scorer(model, place(recipe, device="cpu"), views=2, kinds=ready.plan.kinds)
    store = ready.bench.store
    found = score_clips(scorer, store, ready.job.held_out, plan=ready.plan, recipe=recipe)
    assert len(found) == 4
    return [(score.key, score.nll) for score in found]


def words(command: str, *more: str | Path) -> list[str]:
    return [command, *map(str, more), "--threads", "1", "--device", "cpu", "--json"]


@pytest.mark.parametrize(
    "family", ["twostream", *(pytest.param(n, marks=pytest.mark.slow) for n in [*NETWORKS][1:])]
)
def test_scores_are_those_of_the_training(
    family: str, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reads = genotype(family)
    plain = family in ("hidden_twostream", "x3d")
    facts = {} if plain else {"provenance": {"flow": FLOW}}
    network = exported(tmp_path / "net", genotype=reads, **facts)
    out = tmp_path / "out"
    more = ["--data", videos, "--part", "test", "--clips", "2", "--out", out]
    if family == "x3d":  # which the codebases' rules know, too
        more += ["--views", "training"]
    assert main(words("eval", network, *more)) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["protocol"]["views"] == "training"
    assert found["protocol"].get("flow") == (FLOW if facts else None)
    rows = list(csv.DictReader((out / "clips.csv").open()))
    wanted = trainers_scores(network, videos, reads)
    assert [row["clip"] for row in rows] == [key for key, _ in wanted]
    for row, (_, nll) in zip(rows, wanted, strict=True):
        true = NAMES[int(row["clip"][4]) % 2]
        assert -np.log(float(row[f"p {true}"])) == pytest.approx(nll, abs=1e-4)


def test_a_file_and_a_window_over_all_of_it_are_seen_as_by_eval(
    network: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    more = ["--data", videos, "--part", "test", "--clips", "1", "--out", out]
    assert main(words("eval", network, *more)) == 0
    rows = {row["clip"]: row for row in csv.DictReader((out / "clips.csv").open())}
    capsys.readouterr()
    video = videos.parent / "clip3.mp4"
    # 17 frames; a window that is longer than a clip holds several of them, so one by one.
    for flags in (["--clips", "1"], ["--clips", "1", *FLAGS]):
        assert main(words("predict", network, video, *flags)) == 0
        ((window,),) = [each["windows"] for each in json.loads(capsys.readouterr().out)]
        given = {each["label"]: each["score"] for each in window["top"]}
        for name in NAMES:
            assert given[name] == pytest.approx(float(rows["clip3.mp4"][f"p {name}"]), abs=1e-5)
    other = ["--clips", "1", "--flow-bound", "2"]
    assert main(words("predict", network, video, *other)) == 0
    ((window,),) = [each["windows"] for each in json.loads(capsys.readouterr().out)]
    assert {each["label"]: each["score"] for each in window["top"]} != given


def test_windows_are_cut_from_flow_that_is_computed_once(videos: Path) -> None:
    """Each window's views are those of its frames alone; a frame may be shown twice."""
    plan = get_family("twostream").resolve(genotype("twostream"), num_classes=2)
    spec = FlowSpec(**FLOW)  # type: ignore[arg-type]
    reading = Reading(30.0, 80, spec, 80)
    frames = decode(videos.parent / "clip7.mp4", fps=30, short_side=None)
    shown = [*frames[:5], frames[4], *frames[5:]]
    sliding = Sliding.of(plan, 30.0, window=8 / 30, stride=3 / 30, clip=5)
    assert sliding.count == 2
    slider, seen = Slider(sliding, AsTrained(plan, reading, clips=2)), list[Seen]()
    for number, frame in enumerate(frames):
        seen += slider.push(frame, 2 if number == 4 else 1)
    seen += slider.finish()
    assert len(shown) == 22 and [round(each.start * 30) for each in seen] == [0, 3, 6, 9, 12, 15]
    recipe = dataclasses.replace(get_profile("final"), test_views=2)
    for each in seen:
        cut = np.stack(shown[round(each.start * 30) : round(each.end * 30)])
        store = _Cut(cut, spec)
        for moment in range(2):
            views = one_view(store, 0, plan=plan, recipe=recipe, moment=moment, place=0)
            for given, wanted in zip(each.views, views, strict=True):
                assert torch.equal(given[moment], wanted)


class _Cut:
    """A store of the frames of one window."""

    every, keys, labels = 1, ("cut",), (0,)

    def __init__(self, frames: np.ndarray, spec: FlowSpec) -> None:
        self._frames, self.spec = frames, spec

    def frames(self, index: int) -> np.ndarray:
        return self._frames

    def flow(self, index: int) -> np.ndarray:
        fields = flow_of(self._frames, self.spec, "flow")
        return np.stack([quantise(field, self.spec.bound) for field in fields])


def test_what_cannot_be_seen_is_one_line(
    network: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reads = genotype("twostream")
    silent = exported(tmp_path / "silent", genotype=reads)
    plain = exported(tmp_path / "plain")
    slow = exported(
        tmp_path / "slow", genotype=reads, provenance={"flow": {**FLOW, "method": "tvl1"}}
    )
    pipe, video = tmp_path / "pipe", videos.parent / "clip0.mp4"
    os.mkfifo(pipe)
    cases: list[tuple[list[Any], str]] = [
        (["eval", silent, "--data", videos], "does not say how it was made; give --flow"),
        (["predict", silent, video, "--flow-bound", "8"], "does not say how it was made"),
        (["eval", network, "--data", videos, "--views", "pyslowfast"], "give --views training"),
        (["eval", network, "--data", videos, "--crop", "40"], "are tested have 32 pixels"),
        (["predict", plain, video, "--flow-size", "40"], "--flow-size: "),
        (["predict", slow, pipe], "takes longer than the frames of a stream"),
        (["predict", network, video, "--features", tmp_path / "f.parquet"], "--features are of"),
    ]
    for command, said in cases:
        assert main(words(*command)) == 2, command
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1, error


@pytest.mark.slow
def test_an_onnx_file_knows_how_flow_was_made(
    network: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxscript")
    from expand3d.interop.formats import export

    export(load_export(network), target="onnx", out=tmp_path / "onnx")
    found = []
    for path in (network, tmp_path / "onnx" / "model.onnx"):
        assert main(words("eval", path, "--data", videos, "--clips", "2")) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[1]["protocol"]["flow"] == FLOW
    assert found[0]["nll"] == pytest.approx(found[1]["nll"], rel=1e-4)
