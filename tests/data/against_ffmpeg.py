"""A table of frame counts by expand3d beside those by ffmpeg, over files made here and given ones.

    python -m tests.data.against_ffmpeg [--csv FILE] [FOLDER ...]

Made are containers x codecs, with and without sound, cut without re-encoding, and joined; needed is
the program ffmpeg. FOLDERs are searched for more. A row says both counts and whether they agree; a
file that expand3d refuses says why. The exit status is 1 where a made file disagrees.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from expand3d.core.errors import DataError
from expand3d.data.decode import decode_frames, verify
from expand3d.data.layouts.folders import VIDEO_SUFFIXES

#: Container, encoder of the picture and its options, encoder of the sound (None: none fits).
KINDS: tuple[tuple[str, str, str | None], ...] = (
    ("mp4", "libx264", "aac"),
    ("mp4", "libx265", "aac"),
    ("mp4", "mpeg4", "aac"),
    ("mp4", "libsvtav1", "libopus"),
    ("mov", "libx264", "aac"),
    ("mov", "mjpeg", "pcm_s16le"),
    ("mov", "prores", "pcm_s16le"),
    ("m4v", "libx264", "aac"),
    ("3gp", "h263 -s 176x144", "aac"),
    ("avi", "mpeg4", "libmp3lame"),
    ("avi", "libxvid", "libmp3lame"),
    ("avi", "msmpeg4", "libmp3lame"),
    ("avi", "libx264", "libmp3lame"),
    ("avi", "mjpeg", "pcm_s16le"),
    ("avi", "huffyuv", "pcm_s16le"),
    ("avi", "rawvideo", "pcm_s16le"),
    ("mkv", "libx264", "aac"),
    ("mkv", "libx265", "libopus"),
    ("mkv", "ffv1", "flac"),
    ("mkv", "mpeg4", "libmp3lame"),
    ("webm", "libvpx", "libvorbis"),
    ("webm", "libvpx-vp9", "libopus"),
    ("webm", "libsvtav1", "libopus"),
    ("mpg", "mpeg1video", "mp2"),
    ("mpg", "mpeg2video", "mp2"),
    ("ts", "libx264", "aac"),
    ("ts", "mpeg2video", "mp2"),
    ("m2ts", "libx264", "ac3"),
    ("flv", "flv", "libmp3lame"),
    ("flv", "libx264", "aac"),
    ("wmv", "wmv2", "wmav2"),
    ("asf", "msmpeg4", "wmav2"),
    ("ogv", "libtheora", "libvorbis"),
    ("gif", "gif", None),
)
#: What is done to a file of each kind with sound: the suffix of its name and ffmpeg's options.
CUTS = {"cut": ("-ss", "0.7", "-i", "{}"), "short": ("-i", "{}", "-t", "1.1")}
SECONDS = 2
#: Counted differently for a reason: older ffmpeg shows what an edit list leaves out of AV1.
KNOWN = ("cut-libsvtav1.mp4",)


@dataclass(frozen=True)
class Count:
    """One file: frames by ffmpeg, frames and seconds by expand3d or its reason for refusing."""

    name: str
    ffmpeg: int
    ours: int | None
    seconds: float
    reason: str
    decoded: int | None

    @property
    def same(self) -> bool:
        """True where both find as many frames, or neither finds any."""
        return (self.ours or 0) == self.ffmpeg


def ffmpeg(*words: str) -> bool:
    """True where ffmpeg ran to its end without an error."""
    command = ["ffmpeg", "-v", "error", "-y", "-nostdin", *words]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def frames_by_ffmpeg(path: Path) -> int:
    """Frames of the first real picture stream that ffmpeg decodes; 0 where there is none."""
    words = ["-i", str(path), "-map", "0:V:0", "-fps_mode", "passthrough"]
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-nostdin", *words, "-f", "framehash", "-hash", "crc32", "-"],
        capture_output=True,
        text=True,
        check=False,
    )
    return sum(bool(line) and not line.startswith("#") for line in done.stdout.splitlines())


def make(folder: Path) -> Iterator[Path]:
    """Small files of every kind that ffmpeg can make, as they were made, cut and joined."""
    picture = ("-f", "lavfi", "-i", f"testsrc2=s=160x120:r=30:d={SECONDS}")
    sound = ("-f", "lavfi", "-i", f"sine=r=44100:d={SECONDS}")
    for container, video, audio in KINDS:
        name = f"{video.split()[0]}.{container}"
        codec = ("-c:v", *video.split(), "-pix_fmt", "yuv420p") if video != "gif" else ()
        if video in ("prores", "mjpeg", "huffyuv"):
            codec = ("-c:v", video)
        whole = folder / f"mute-{name}"
        if ffmpeg(*picture, *codec, str(whole)):
            yield whole
        # Pictures that stand still: some encoders write nothing for them.
        still = folder / f"still-{name}"
        if ffmpeg(*picture, "-vf", "fps=3,fps=30", *codec, str(still)):
            yield still
        if audio is None:
            continue
        whole = folder / f"sound-{name}"
        rate = ("-ar", "48000") if audio == "libopus" else ()
        if not ffmpeg(*picture, *sound, *codec, "-c:a", audio, *rate, str(whole)):
            continue
        yield whole
        for what, words in CUTS.items():
            out = folder / f"{what}-{name}"
            if ffmpeg(*(word.format(whole) for word in words), "-c", "copy", str(out)):
                yield out
        listed = folder / "list.txt"
        listed.write_text(f"file {whole}\n" * 2)
        out = folder / f"joined-{name}"
        if ffmpeg("-f", "concat", "-safe", "0", "-i", str(listed), "-c", "copy", str(out)):
            yield out
        if container in ("ts", "mpg", "m2ts"):
            # These may be joined by writing one file behind the other.
            out = folder / f"written-behind-{name}"
            out.write_bytes(whole.read_bytes() * 2)
            yield out
    yield from _copied(folder)


def _copied(folder: Path) -> Iterator[Path]:
    """Files whose container was changed without re-encoding, and files written into a pipe."""
    for source, target in (
        ("sound-libx264.mp4", "copied.avi"),
        ("sound-mpeg4.mp4", "copied-mpeg4.avi"),
        ("sound-libx264.mp4", "copied.mkv"),
        ("sound-libx264.mkv", "copied.mp4"),
        ("sound-libx264.mp4", "copied.ts"),
        ("sound-libx264.ts", "copied-ts.mp4"),
        ("sound-libvpx.webm", "copied.webm"),
        ("cut-libx264.mp4", "copied-cut.mkv"),
        ("mute-libx264.mp4", "raw.h264"),
        ("mute-mpeg2video.mpg", "raw.m2v"),
        ("mute-mjpeg.mov", "raw.mjpeg"),
        ("sound-mpeg2video.mpg", "copied.vob"),
        ("sound-libx264.mp4", "copied.f4v"),
        ("sound-libx264.mp4", "copied.3g2"),
    ):
        out = folder / target
        if ffmpeg("-i", str(folder / source), "-c", "copy", str(out)):
            yield out
    for source, form in (("mute-libx264.mkv", "matroska"), ("sound-libvpx.webm", "webm")):
        out = folder / f"piped-{source}"
        command = ["ffmpeg", "-v", "error", "-i", str(folder / source), "-c", "copy", "-f", form]
        with out.open("wb") as file:
            if subprocess.run([*command, "-"], stdout=file, check=False).returncode == 0:
                yield out
    out = folder / "fragmented.mp4"
    flags = ("-movflags", "frag_keyframe+empty_moov")
    if ffmpeg("-i", str(folder / "sound-libx264.mp4"), "-c", "copy", *flags, str(out)):
        yield out


def count(path: Path, name: str) -> Count:
    """Both counts of one file."""
    expected = frames_by_ffmpeg(path)
    try:
        info = verify(path)
        decoded = sum(1 for _ in decode_frames(path, fps=30, short_side=32))
    except DataError as error:
        return Count(name, expected, None, 0.0, str(error).removeprefix(f"{path}: "), None)
    return Count(name, expected, info.frames, info.duration_s, "", decoded)


def row(one: Count) -> str:
    """One line of the table."""
    ours = f"{one.ours:>6} {one.seconds:>9.2f} {one.decoded:>7}" if one.ours is not None else ""
    return f"{one.name:<44} {one.ffmpeg:>6} {ours:<24} {'' if one.same else '  <- '}{one.reason}"


def main(folders: list[str]) -> int:
    """Exit status 1 where a made file is counted differently."""
    if shutil.which("ffmpeg") is None:
        print("needed: the program ffmpeg", file=sys.stderr)
        return 2
    table = None
    if folders[:1] == ["--csv"]:
        table, folders = Path(folders[1]), folders[2:]
    print(f"{'file':<44} {'ffmpeg':>6} {'ours':>6} {'seconds':>9} {'at 30/s':>7}")
    with tempfile.TemporaryDirectory() as made:
        counts = [count(path, path.name) for path in make(Path(made))]
        for one in counts:
            print(row(one), flush=True)
    if table is not None:
        lines = ["file,ffmpeg_frames,frames,seconds,frames_at_30,refused"]
        for one in counts:
            found = (
                ("", "", "") if one.ours is None else (one.ours, f"{one.seconds:.3f}", one.decoded)
            )
            lines.append(",".join(map(str, (one.name, one.ffmpeg, *found, one.reason))))
        table.write_text("\n".join([*lines, ""]))
    different = sum(not one.same and one.name not in KNOWN for one in counts)
    print(f"{len(counts)} made files, {different} counted differently beside {', '.join(KNOWN)}")
    for folder in folders:
        paths = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
        found = [count(path, f"{path.parent.name}/{path.name}") for path in paths]
        for one in found:
            if not one.same:
                print(row(one), flush=True)
        print(f"{folder}: {len(found)} files, {sum(not one.same for one in found)} differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
