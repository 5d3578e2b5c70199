"""A latency kit: a folder that times itself elsewhere, and the CSV that it prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from expand3d.cli.main import main
from expand3d.core.errors import ExportError
from expand3d.interop.kit import folder
from expand3d.measure.table import read_table
from expand3d.networks import get_family

X3D = get_family("x3d")
TINY = X3D.resolve(X3D.base.replace(gamma_s=32 / 112, gamma_w=0.34, gamma_d=0.2), num_classes=3)


def test_the_script_needs_nothing_of_ours_and_its_csv_is_read(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    files = folder.write_kit({"tiny": TINY}, tmp_path / "kit")
    assert [path.name for path in files] == [f"{TINY.digest}.onnx", folder.LIST, folder.SCRIPT]
    blocked = "import sys; sys.modules.update(expand3d=None, torch=None, onnx=None)\n"
    script = tmp_path / "kit" / folder.SCRIPT
    run = f"{blocked}import runpy; runpy.run_path({str(script)!r}, run_name='__main__')"
    said = subprocess.run(
        [sys.executable, "-c", run, "--device", "here", "--threads", "1"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert said.stderr.startswith("tiny: ") and " ms (" in said.stderr
    (tmp_path / "here.csv").write_text(said.stdout, encoding="utf-8")
    found = read_table(tmp_path / "here.csv", "here").latency(TINY)
    assert 0 < found.low <= found.median <= found.high and found.runs == 15
    assert (found.device, found.threads) == ("here", 1)
    assert len(script.read_text(encoding="utf-8").splitlines()) <= 70


def test_what_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["latency-kit", "x3d-xs", "--out", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert main(["latency-kit", "x3d-xx", "--out", str(tmp_path / "kit")]) == 2
    assert "did you mean 'x3d-" in capsys.readouterr().err
    words = ["latency-kit", "x3d-xs", "x3d-xs", "--out", str(tmp_path / "kit")]
    assert main([*words[:2], *words[3:], "--num-classes", "0"]) == 2
    assert "at least 1" in capsys.readouterr().err
    monkeypatch.setattr("expand3d.interop.kit.folder.absent", lambda needs: ["onnxscript"])
    with pytest.raises(ExportError, match=r"needs onnxscript: pip install 'expand3d\[onnx\]'"):
        folder.write_kit({"tiny": TINY}, tmp_path / "kit")
