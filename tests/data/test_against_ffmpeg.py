"""The comparison with ffmpeg, of a few kinds of files; the script alone makes all of them."""

from __future__ import annotations

import shutil

import pytest

from tests.data import against_ffmpeg


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the program ffmpeg")
def test_frames_are_counted_as_ffmpeg_counts_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = {("avi", "mpeg4"), ("mkv", "libx264"), ("webm", "libvpx"), ("ts", "mpeg2video")}
    kinds = tuple(kind for kind in against_ffmpeg.KINDS if kind[:2] in chosen)
    monkeypatch.setattr(against_ffmpeg, "KINDS", kinds)
    monkeypatch.setattr(against_ffmpeg, "SECONDS", 1)
    assert against_ffmpeg.main([]) == 0
    assert "sound-mpeg4.avi" in capsys.readouterr().out
