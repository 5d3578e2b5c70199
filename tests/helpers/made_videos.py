"""Small videos with known content, written for a test."""

from __future__ import annotations

import csv
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

#: tkhd matrices (a, b, c, d) by how far a player turns the picture clockwise, ISO 14496-12.
MATRICES = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


def write_video(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    times_ms: Sequence[int] | None = None,
    rate: int = 30,
    codec: str = "libx264",
    muxer: dict[str, str] | None = None,
    **options: str,
) -> Path:
    """A video of RGB frames at an even rate, or shown from the given milliseconds on."""
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def greys(values: Sequence[int], *, height: int = 32, width: int = 48) -> list[np.ndarray]:
    """Plain grey frames, told apart by their value."""
    return [np.full((height, width, 3), value, dtype=np.uint8) for value in values]


def values(clip: np.ndarray) -> list[int]:
    """The mean of each frame of a clip, as whole numbers."""
    return [round(float(frame.mean())) for frame in clip]


def rotate_clockwise(path: Path, degrees: int) -> Path:
    """Patch the track header of an mp4 so that players turn the picture."""
    data = bytearray(path.read_bytes())
    # Size and type, version, five times and ids of 4 bytes, 8 reserved, 4 x 2 bytes of layout.
    at = data.index(b"tkhd") + 4 + 4 + 5 * 4 + 8 + 8
    a, b, c, d = (value << 16 for value in MATRICES[degrees])
    assert struct.unpack_from(">9i", data, at) == (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, at, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def write_data_set(folder: Path, *, clips: int = 6, classes: int = 2, frames: int = 10) -> Path:
    """A manifest.csv and its videos: class k is grey, about 60 + 80 k; a group per two."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(clips):
        label = number % classes
        name = f"clip{number}.mp4"
        level = 60 + 80 * label + number
        write_video(folder / name, greys(range(level, level + frames)))
        rows.append([name, label, f"class{label}", f"g{number // 2}"])
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "label_name", "group"], *rows])
    return folder / "manifest.csv"


def write_packets(
    path: Path,
    frames: Sequence[np.ndarray],
    ticks: Sequence[int],
    *,
    rate: int = 10,
    base: Fraction | None = None,
    codec: str = "mpeg4",
    muxer: dict[str, str] | None = None,
    sound_seconds: float = 0.0,
) -> Path:
    """A video whose packets stand at the given ticks (of `base`), in the order of coding.

    Nothing refers forward, so that the order of coding is that of showing. With `sound_seconds`
    there is silence from the time 0 on.
    """
    base = base or Fraction(1, rate)
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=rate, options={"bf": "0", "qscale": "2"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if sound_seconds:
            sound = container.add_stream("libmp3lame", rate=44100, layout="mono")
            _write_silence(container, sound, sound_seconds)
        packets = []
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            packets += stream.encode(frame)
        packets += stream.encode(None)
        assert len(packets) == len(ticks)
        for packet, tick in zip(packets, ticks, strict=True):
            packet.time_base, packet.pts, packet.dts = base, tick, tick
            container.mux_one(packet)
    return path


def _write_silence(
    container: av.container.OutputContainer, stream: av.AudioStream, seconds: float
) -> None:
    for number in range(int(seconds * 44100 / 1152)):
        silence = av.AudioFrame.from_ndarray(
            np.zeros((1, 1152), dtype=np.float32), format="fltp", layout="mono"
        )
        silence.sample_rate, silence.pts = 44100, number * 1152
        silence.time_base = Fraction(1, 44100)
        container.mux(stream.encode(silence))
    container.mux(stream.encode(None))


def write_pictures(folder: Path, frames: Sequence[np.ndarray], *, form: str = "{:05d}.jpg") -> Path:
    """A folder of JPEGs, numbered from 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(frames, 1):
        with av.open(
            str(folder / form.format(number)), "w", format="image2", options={"update": "1"}
        ) as out:
            stream = out.add_stream("mjpeg", rate=1, options={"qmin": "1", "qmax": "2"})
            stream.height, stream.width = pixels.shape[:2]
            stream.pix_fmt = "yuvj420p"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    return folder
