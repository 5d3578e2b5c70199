"""The golden replay: the published trajectory, typed here from the paper's tables."""

from __future__ import annotations

import json

import pytest

from expand3d.cli.main import main
from expand3d.search import replay
from expand3d.search.replay import replay_x3d

# step, axes, frames x stride, crop, GMACs at every digit known.
TRAJECTORY = [
    (0, (), "1x1", 112, "0.02066"),
    (1, ("gamma_b",), "1x1", 112, "0.0410"),
    (2, ("gamma_tau", "gamma_t"), "2x14", 112, "0.0802"),
    (3, ("gamma_s",), "2x14", 160, "0.1534"),
    (4, ("gamma_d",), "2x14", 160, "0.3036"),
    (5, ("gamma_t",), "4x12", 160, "0.6053"),
    (6, ("gamma_tau",), "8x6", 160, "1.2087"),
    (7, ("gamma_t",), "16x5", 160, "2.4154"),
    (8, ("gamma_s",), "16x5", 224, "4.7325"),
    (9, ("gamma_s",), "16x5", 312, "9.4516"),
    (10, ("gamma_d",), "16x5", 312, "18.3677"),
    (11, ("gamma_w",), "16x5", 312, "35.8376"),
]
# Blocks, widths and inner widths of X3D-XL.
XL = {
    "depths": (5, 10, 25, 15),
    "widths": (32, 72, 136, 280),
    "inners": (72, 162, 306, 630),
}


def rows(run: replay.Replay) -> list[tuple[int, tuple[str, ...], str, int, str]]:
    found = []
    for point in run.points:
        candidate = point.candidate
        axes = (candidate.axis, *candidate.merged) if candidate.axis else ()
        found.append((candidate.step, axes, point.clip, candidate.plan.crop, point.gmacs))
    return found


def test_the_whole_trajectory() -> None:
    run = replay_x3d(36_000_000_000)
    assert rows(run) == TRAJECTORY
    assert run.agrees
    assert {key: getattr(run.result.plan, key) for key in XL} == XL
    # Every step but the first had one candidate per axis that was not at its end.
    assert 5 * 11 < run.networks - 1 <= 6 * 11


def test_two_gflops_give_x3d_s_by_contraction() -> None:
    run = replay_x3d(2_000_000_000)
    assert rows(run) == [*TRAJECTORY[:8], (8, ("gamma_t",), "13x6", 160, "1.9629")]
    assert run.agrees
    assert run.points[-1].candidate.role == "contract"
    assert run.result == run.points[-1].candidate


def test_thirty_models_for_xs() -> None:
    """Five steps of six axes; the two temporal ones are one network in the two steps before 2."""
    run = replay_x3d(620_000_000)
    assert run.points[-1].gmacs == "0.6053"
    assert run.networks == 1 + 5 * 6 - 2


@pytest.mark.parametrize(
    "change",
    [
        {"gmacs": "0.0411"},
        {"factors": {"gamma_b": 2.28}},
        {"factors": {"gamma_b": 2.25, "gamma_tau": 2}},
    ],
)
def test_a_mismatch_is_found(change: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    assert replay_x3d(42_000_000).agrees
    wrong = replay.PathStep(**{**vars(replay.PATH[1]), **change})  # type: ignore[arg-type]
    monkeypatch.setattr(replay, "PATH", (replay.PATH[0], wrong, *replay.PATH[2:]))
    assert not replay_x3d(42_000_000).agrees
    assert main(["replay", "x3d", "--budget", "42M"]) == 1


def test_a_wrong_contraction_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replay.PathStep(("gamma_t",), {"gamma_t": 13, "gamma_tau": 5}, "1.9629", "x3d-s")
    monkeypatch.setattr(replay, "CONTRACTED", wrong)
    assert not replay_x3d(2_000_000_000).agrees


def test_the_command_prints_computed_beside_published(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "x3d"]) == 0
    printed = capsys.readouterr().out
    for *_, gmacs in [*TRAJECTORY, (8, "", "", 0, "1.9629")]:
        assert any(line.split().count(gmacs) == 2 for line in printed.splitlines()), gmacs
    assert "DIFFERS" not in printed


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "x3d", "--budget", "1GFLOPs", "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)
    assert run["budget"] == 1_000_000_000
    assert run["steps"][-1]["axis"] == "gamma_tau contracted"
    assert run["steps"][-1]["published_gmacs"] is None
    assert run["result"]["macs"] <= 1_000_000_000


def test_a_budget_below_x2d(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "x3d", "--budget", "20M"]) == 2
    assert "20.66 MMACs" in capsys.readouterr().err
