"""The winner of a search on real videos in every target that is installed, and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from expand3d.cli.main import main
from expand3d.core.plugins import FORMATS
from expand3d.interop.import_weights import weights_in
from expand3d.interop.json_folder import load_export
from expand3d.interop.verify import absent, can_verify

#: Targets whose weights are read back.
BACK = ("json", "pytorchvideo", "pyslowfast", "mmaction2")
RECIPE = ("clip_visits=32", "batch=8", "bn_batch=8", "test_views=1")


@pytest.mark.slow
def test_a_winner_goes_everywhere_and_comes_back(ut_interaction: Path, tmp_path: Path) -> None:
    root = str(tmp_path / "studies")
    words = ["run", "--budget", "0.03GFLOPs", "--data", str(ut_interaction), "--study", "ut"]
    words += ["--expressible-in", "pytorchvideo,pyslowfast,mmaction2", "--threads", "1"]
    for flag in ("--recipe", "--final-recipe"):
        for setting in RECIPE:
            words += [flag, setting]
    assert main([*words, "--root", root]) == 0
    kept = None
    for target, row in FORMATS.items():
        if absent(row.needs):
            continue
        out = tmp_path / target
        check = ["--verify"] if can_verify(row) else ["--no-verify"]
        assert (
            main(["export", "ut", "--root", root, "--to", target, "--out", str(out), *check]) == 0
        )
        if target in BACK:
            back = tmp_path / f"{target}-back"
            assert main(["import", str(out), "--out", str(back)]) == 0
            network = load_export(back)
            if kept is None:  # json, our own
                kept = network
                assert len(kept.classes) == 6 and kept.scores
            assert (network.plan, network.classes) == (kept.plan, kept.classes)
            ours, theirs = (load_file(weights_in(each)) for each in (tmp_path / "json", back))
            apart = {name for name in ours if not ours[name].equal(theirs[name])}
            # pytorchvideo has no BatchNorm on the first shortcut.
            shortcut = ("res2.0.shortcut", "res2.0.project_bn.bias")
            assert all(name.startswith(shortcut) for name in apart), apart
            assert not apart or target == "pytorchvideo"
