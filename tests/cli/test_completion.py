"""The script of `expand3d completion`, asked as a shell asks it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from expand3d.cli.completion import SHELLS
from expand3d.cli.main import COMMANDS, main
from expand3d.networks import FAMILIES


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in COMMANDS)
    assert "--training-limit" in script or "training-limit" in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["r"], {"run", "resume", "report", "replay"}),
        (["run", "--str"], {"--strategy"}),
        (["run", "--growth", ""], {"single", "compound", "both"}),
        (["run", "--family", ""], set(FAMILIES)),
        (["data", "s"], {"show", "split"}),
        (["cost", "--preset", "x3d-x"], {"x3d-xs", "x3d-xl"}),
        (["completion", ""], set(SHELLS)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bash_completes(
    words: list[str], offered: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "expand3d.bash"
    script.write_text(capsys.readouterr().out)
    typed = " ".join(f"'{word}'" for word in ["expand3d", *words])
    asked = (
        f"source '{script}'; COMP_WORDS=({typed}); COMP_CWORD={len(words)}; "
        '_shtab_expand3d; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    said = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True).stdout
    assert set(said.split()) - {"-h", "--help"} == offered
