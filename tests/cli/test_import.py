"""`expand3d import`: a state dict under torchvision's names becomes a network that runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from expand3d.cli.main import main
from expand3d.interop.json_folder import load_export
from expand3d.networks import get_family, get_preset

SMALL = ["--set", "gamma_w=0.125", "--num-classes", "3"]


def torchvision_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """r3d_18's names, as torchvision's VideoResNet prints them, written out by hand."""
    stages = {"res2": "layer1", "res3": "layer2", "res4": "layer3", "res5": "layer4"}
    parts = {
        "main.conv1.conv": "conv1.0",
        "main.conv1.bn": "conv1.1",
        "main.conv2.conv": "conv2.0",
        "main.conv2.bn": "conv2.1",
        "shortcut.conv": "downsample.0",
        "shortcut.bn": "downsample.1",
    }
    renamed = {}
    for name, value in state.items():
        stage, *rest, leaf = name.split(".")
        if stage == "stem":
            theirs = f"stem.{0 if rest[-1] == 'conv' else 1}.{leaf}"
        elif stage == "head":
            theirs = f"fc.{leaf}"
        else:
            block, *inner = rest
            theirs = f"{stages[stage]}.{block}.{parts['.'.join(inner)]}.{leaf}"
        renamed[theirs] = value
    return renamed


def small() -> torch.nn.Module:
    genotype = get_preset("r3d-18").genotype.replace(gamma_w=0.125)
    family = get_family("r3d")
    torch.manual_seed(0)
    return family.build(family.resolve(genotype, num_classes=3)).eval()


def test_a_foreign_file_becomes_a_folder_that_builds_the_network(tmp_path: Path) -> None:
    ours = small()
    torch.save({"state_dict": torchvision_names(ours.state_dict())}, tmp_path / "theirs.pth")
    out = tmp_path / "out"
    command = ["import", str(tmp_path / "theirs.pth"), "--preset", "r3d-18", *SMALL]
    assert main([*command, "--out", str(out)]) == 0
    clip = torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        assert torch.equal(load_export(out).build()(clip), ours(clip))


def test_unknown_and_missing_names_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = torchvision_names(small().state_dict())
    del state["layer2.0.conv1.0.weight"]
    state["layer9.odd"] = torch.zeros(1)
    torch.save(state, tmp_path / "theirs.pth")
    command = ["import", str(tmp_path / "theirs.pth"), "--preset", "r3d-18", *SMALL]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "layer9.odd" in told and "res3.0.main.conv1.conv.weight" in told
    assert not (tmp_path / "out").exists()


def test_what_is_no_file_of_weights_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "odd.pth").write_text("not weights")
    command = ["import", str(tmp_path / "odd.pth"), "--preset", "r3d-18"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert "odd.pth" in capsys.readouterr().err


def imported(tmp_path: Path, *words: str) -> int:
    return main(["import", *words, "--out", str(tmp_path / "out")])


def test_another_number_of_classes_keeps_the_trunk_and_draws_a_new_head(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = small().state_dict()
    torch.save(torchvision_names(ours), tmp_path / "theirs.pth")
    words = [str(tmp_path / "theirs.pth"), "--preset", "r3d-18", "--set", "gamma_w=0.125"]
    assert imported(tmp_path, *words, "--num-classes", "7") == 0
    told = capsys.readouterr().out.splitlines()[-1]
    assert "had 3 classes: head.fc.weight, head.fc.bias drawn anew for 7" in told
    network = load_export(tmp_path / "out")
    assert network.plan.num_classes == 7
    got = network.build().state_dict()
    trunk = [name for name in ours if not name.startswith("head.fc")]
    assert len(trunk) == len(ours) - 2 and all(got[name].equal(ours[name]) for name in trunk)
    assert tuple(got["head.fc.weight"].shape) == (7, 64) and got["head.fc.weight"].std() > 0
    # The same seed draws the same, another seed another one.
    assert imported(tmp_path, *words, "--num-classes", "7", "--force") == 0
    again = load_export(tmp_path / "out").build().state_dict()
    assert again["head.fc.weight"].equal(got["head.fc.weight"])
    assert imported(tmp_path, *words, "--num-classes", "7", "--seed", "1", "--force") == 0
    other = load_export(tmp_path / "out").build().state_dict()
    assert not other["head.fc.weight"].equal(got["head.fc.weight"])


def test_the_number_of_classes_is_the_files(tmp_path: Path) -> None:
    torch.save(torchvision_names(small().state_dict()), tmp_path / "theirs.pth")
    words = [str(tmp_path / "theirs.pth"), "--preset", "r3d-18", "--set", "gamma_w=0.125"]
    assert imported(tmp_path, *words) == 0
    assert load_export(tmp_path / "out").plan.num_classes == 3


def test_a_moving_average_is_left_unless_it_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = small().state_dict()
    theirs = torchvision_names(ours)
    average = {f"module.{name}": value * 2 for name, value in theirs.items()}
    average["n_averaged"] = torch.tensor(5)
    training = {"epoch": 3, "optimizer": {"state": {0: torch.zeros(2)}, "param_groups": []}}
    torch.save({**training, "model": theirs, "model_ema": average}, tmp_path / "theirs.pth")
    words = [str(tmp_path / "theirs.pth"), "--preset", "r3d-18", "--set", "gamma_w=0.125"]
    assert imported(tmp_path, *words) == 0
    assert "--averaged takes it" in capsys.readouterr().out
    name = "res2.0.main.conv1.conv.weight"
    assert load_export(tmp_path / "out").build().state_dict()[name].equal(ours[name])
    assert imported(tmp_path, *words, "--averaged", "--force") == 0
    assert "the moving average of the weights was taken" in capsys.readouterr().out
    assert load_export(tmp_path / "out").build().state_dict()[name].equal(2 * ours[name])


class Harmful:
    """Pickled, it would write a file when it is loaded."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.file), "w")


def test_pickled_code_is_never_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = tmp_path / "ran"
    content = {"state_dict": torchvision_names(small().state_dict()), "meta": Harmful(ran)}
    torch.save(content, tmp_path / "theirs.pth")
    assert imported(tmp_path, str(tmp_path / "theirs.pth"), "--preset", "r3d-18", *SMALL) == 2
    told = capsys.readouterr().err
    assert "holds more than weights: reading it would run" in told and "open" in told
    assert told.count("\n") == 1 and not ran.exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--preset", "r3d-18", "--from", "pyslowfast"], "no names of r3d in pyslowfast are known"),
        (["--preset", "x3d-s", "--from", "pyslowfast"], "no weights of x3d in a naming that is"),
        (["--preset", "r3d-18", "--from", "torchvisio"], "did you mean 'torchvision'?"),
        ([], "say which network it is of with --preset NAME"),
        (["--preset", "r3d-18", "--averaged"], "it holds no moving average of weights"),
    ],
)
def test_what_cannot_be_imported_is_one_line(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(torchvision_names(small().state_dict()), tmp_path / "theirs.pth")
    assert imported(tmp_path, str(tmp_path / "theirs.pth"), *words) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_that_exists_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    torch.save(torchvision_names(small().state_dict()), tmp_path / "theirs.pth")
    assert imported(tmp_path, str(tmp_path / "theirs.pth"), "--preset", "r3d-18", *SMALL) == 2
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_an_export_without_weights_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", "--preset", "x3d-xs", "--to", "pyslowfast", "--out", str(tmp_path / "there")]
    assert main(words) == 0
    capsys.readouterr()
    assert imported(tmp_path, str(tmp_path / "there")) == 2
    told = capsys.readouterr().err
    assert "holds no file weights.*" in told and told.count("\n") == 1
    for name in ("weights.pth", "weights.pyth"):
        (tmp_path / "there" / name).write_bytes(b"")
    assert imported(tmp_path, str(tmp_path / "there")) == 2
    assert "weights.pth, weights.pyth: say which" in capsys.readouterr().err
