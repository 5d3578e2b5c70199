"""Several processes train one network: the same weights, and a clear end where one is lost."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from expand3d.core.errors import ConfigError, UserError
from expand3d.core.process import environment
from expand3d.training import peers as module
from expand3d.training.peers import ALONE, Together, first_then_others, together
from expand3d.training.step import Shown
from tests.helpers import one_of_two


def test_passes_go_round_among_the_processes() -> None:
    """Two steps of four passes."""
    assert Together(0, 2).own(range(4, 12), 4) == [4, 6, 8, 10]
    assert Together(1, 2).own(range(4, 12), 4) == [5, 7, 9, 11]
    assert list(ALONE.own(range(4, 12), 4)) == list(range(4, 12))
    with pytest.raises(ConfigError, match="--accumulate 3 would do"):
        Together(0, 3).own(range(8), 4)


@pytest.fixture
def group(tmp_path: Path) -> object:
    """A process group of this process alone."""
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_statistics_that_are_joined_are_those_of_passes_in_a_row(group: object) -> None:
    torch.manual_seed(0)
    passes = [torch.randn(6, 3, 2, 4, 4) + 2 for _ in range(4)]
    plain, shared = torch.nn.BatchNorm3d(3), torch.nn.BatchNorm3d(3)
    frozen = torch.nn.BatchNorm3d(3).eval()
    network = torch.nn.Sequential(shared, frozen)
    peers = Together(0, 1)
    for _ in range(2):
        peers.before(network)
        for each in passes:
            plain(each)
            shared(each)
            peers.passed(network)
        shown = peers.joined(network, [Shown(0.5, 3)] * 4)
    assert shown == [Shown(0.5, 3)] * 4
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(shared.state_dict()[name], value)
    assert frozen.running_var is not None and torch.all(frozen.running_var == 1)


def test_a_lost_process_is_a_users_error(group: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*args: object, **options: object) -> None:
        raise RuntimeError("[gloo/pair.cc:534] Connection closed by peer [127.0.0.1]\nat ...")

    monkeypatch.setattr(torch.distributed, "all_reduce", lost)
    with pytest.raises(UserError, match=r"another process .*closed by peer.*the same command"):
        Together(0, 2).any(False)


def test_processes_that_lack_the_checkpoint_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    peers = Together(1, 2)
    monkeypatch.setattr(peers, "_in_order", lambda rows: torch.tensor([[30.0], [0.0]]))
    with pytest.raises(UserError, match="would go on from other steps"):
        peers.agree(0)


def test_one_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with together() as peers:
        assert peers is ALONE and first_then_others(peers, lambda: 3) == 3
    assert not module.helps() and module.beside_here() == 1


def start(folder: Path, *more: str) -> list[subprocess.Popen[str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = []
    for rank in (0, 1):
        variables = {
            **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"},
            **{"LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
        }
        command = [sys.executable, "-m", "tests.helpers.one_of_two", str(folder), *more]
        made.append(
            subprocess.Popen(
                command, env={**environment(), **variables}, stderr=subprocess.PIPE, text=True
            )
        )
    return made


@pytest.mark.slow
def test_two_processes_train_as_one_does_and_outlive_a_loss(tmp_path: Path) -> None:
    for name in ("one", "two", "lost"):
        (tmp_path / name).mkdir()
    one_of_two.main(tmp_path / "one")
    both = start(tmp_path / "two")
    assert [(process.communicate()[1], process.returncode)[1] for process in both] == [0, 0]

    first, second = start(tmp_path / "lost", "die")
    said = first.communicate()[1]
    assert second.wait() == -9 and first.returncode == 1
    assert "UserError: another process of this training ended" in said
    assert (tmp_path / "lost" / "c.pt").exists() and not (
        tmp_path / "lost" / "w.safetensors"
    ).exists()
    again = start(tmp_path / "lost")
    assert [(process.communicate()[1], process.returncode)[1] for process in again] == [0, 0]

    for name in ("w.safetensors", "best.safetensors"):
        one = load_file(tmp_path / "one" / name)
        two = load_file(tmp_path / "two" / name)
        for key, value in one.items():
            torch.testing.assert_close(two[key], value, rtol=1e-5, atol=1e-5)
        resumed = load_file(tmp_path / "lost" / name)
        assert all(torch.equal(resumed[key], value) for key, value in two.items())
