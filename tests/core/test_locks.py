"""A held file: nobody else has it, its content is read meanwhile, and letting go frees it."""

from __future__ import annotations

from pathlib import Path

from expand3d.core.locks import content, hold, is_held


def test_a_file_is_held_until_it_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_held(path) and not path.exists()
    with hold(path) as held:  # type: ignore[union-attr]
        held.write('{"first": 1}')
        held.write('{"b": 2}')
        assert is_held(path) and hold(path) is None
        assert content(path).strip() == '{"b": 2}'
    assert not is_held(path) and path.is_file()
    again = hold(path)
    assert again is not None
    again.close()
    again.close()


def test_a_file_that_cannot_be_written_can_be_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("kept")
    path.chmod(0o444)
    assert not is_held(path) and content(path) == "kept"
