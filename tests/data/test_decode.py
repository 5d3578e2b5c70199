"""Decoding against videos whose every frame is known, and against real ones where present."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from expand3d.core.errors import DataError
from expand3d.data.decode import decode, decode_frames, probe, verify
from expand3d.data.video_info import scaled_size
from tests.helpers.made_videos import greys, rotate_clockwise, values, write_video


def close(found: list[int], wanted: list[int], within: int = 2) -> bool:
    return len(found) == len(wanted) and bool(np.all(np.abs(np.subtract(found, wanted)) <= within))


def test_every_frame_comes_once_in_order(tmp_path: Path) -> None:
    levels = list(range(40, 240, 10))
    path = write_video(tmp_path / "a.mp4", greys(levels))
    clip = decode(path, fps=30, short_side=None)
    assert clip.shape == (20, 32, 48, 3) and clip.dtype == np.uint8
    assert close(values(clip), levels)


def test_half_the_rate_takes_every_other_frame(tmp_path: Path) -> None:
    levels = list(range(40, 240, 10))
    path = write_video(tmp_path / "a.mp4", greys(levels))
    assert close(values(decode(path, fps=15, short_side=None)), levels[::2])


def test_double_the_rate_shows_every_frame_twice(tmp_path: Path) -> None:
    levels = [50, 100, 150, 200]
    path = write_video(tmp_path / "a.mp4", greys(levels))
    found = values(decode(path, fps=60, short_side=None))
    assert close(found, [50, 50, 100, 100, 150, 150, 200, 200])


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_variable_rate_holds_each_frame_until_the_next(tmp_path: Path, name: str) -> None:
    # Shown from 0, 100, 400 and 500 ms on; what a 10 Hz grid sees of it, by hand.
    path = write_video(
        tmp_path / name, greys([50, 100, 150, 200]), times_ms=[0, 100, 400, 500], rate=10, bf="0"
    )
    found = values(decode(path, fps=10, short_side=None))
    assert close(found[:6], [50, 100, 100, 100, 150, 200])
    # How long the last frame stays is for the container to say; it is there.
    assert 6 <= len(found) <= 8


@pytest.mark.parametrize("every", [2, 3, 8])
def test_every_so_many_th_frame_is_one_of_all(tmp_path: Path, every: int) -> None:
    even = write_video(tmp_path / "a.mp4", greys(range(40, 240, 10)), rate=25)
    times = [0, 90, 110, 400, 430, 470, 1300, 1310]
    uneven = write_video(tmp_path / "v.mkv", greys(range(50, 210, 20)), times_ms=times, bf="0")
    for path in (even, uneven):
        for fps in (10.0, 24.0, 30.0, 60.0):
            whole = decode(path, fps=fps, short_side=None)
            found = decode(path, fps=fps, short_side=None, every=every)
            assert np.array_equal(found, whole[::every])


def test_a_held_frame_takes_memory_once(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", greys([50, 100]), times_ms=[0, 60_000], rate=10, bf="0")
    frames = decode_frames(path, fps=10, short_side=None)
    assert len(frames) >= 600 and len({id(frame) for frame in frames}) == 2


def test_time_does_not_start_at_zero(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "v.mkv", greys([50, 100, 150]), times_ms=[5000, 5100, 5200], rate=10, bf="0"
    )
    assert close(values(decode(path, fps=10, short_side=None))[:3], [50, 100, 150])


def test_millisecond_stamps_of_thirty_frames_a_second_lose_nothing(tmp_path: Path) -> None:
    # 33, 67, 100, ...: rounded up, a stamp lies after the grid point that it belongs to.
    levels = list(range(30, 230, 5))
    times = [round(k * 1000 / 30) for k in range(len(levels))]
    path = write_video(tmp_path / "v.mkv", greys(levels), times_ms=times, bf="0")
    assert close(values(decode(path, fps=30, short_side=None)), levels)


def test_stamps_that_run_backward_are_not_believed(tmp_path: Path) -> None:
    # As in AVI with B-frames: pairs of stamps are swapped, the decoder's order is right.
    levels = list(range(30, 230, 10))
    even = write_video(tmp_path / "even.mkv", greys(levels), codec="mpeg4", bf="0", qscale="2")
    path = tmp_path / "shuffled.mkv"
    with av.open(str(even)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        stamps = [packet.pts for packet in packets]
        for number, packet in enumerate(packets):
            packet.pts, packet.dts = stamps[number ^ 1], stamps[number] - 100
            packet.stream = stream
            target.mux_one(packet)
    with av.open(str(path)) as container:
        found = [frame.pts for frame in container.decode(video=0)]
    assert found != sorted(found)
    assert close(values(decode(path, fps=30, short_side=None)), levels, within=4)
    assert verify(path).frames == len(levels)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_is_undone(tmp_path: Path, degrees: int) -> None:
    # Corners as stored, clockwise from the top left; a clockwise turn moves each one place on.
    corners = [(220, 40, 40), (40, 200, 40), (40, 40, 220), (230, 230, 230)]
    stored = np.zeros((64, 96, 3), dtype=np.uint8)
    stored[:32, :48], stored[:32, 48:] = corners[0], corners[1]
    stored[32:, 48:], stored[32:, :48] = corners[2], corners[3]
    path = rotate_clockwise(write_video(tmp_path / "r.mp4", [stored] * 3), degrees)
    clip = decode(path, fps=30, short_side=32)
    height, width = (32, 48) if degrees % 180 == 0 else (48, 32)
    assert clip.shape[1:3] == (height, width)
    assert (probe(path).height, probe(path).width) == (height * 2, width * 2)
    seen = [clip[0, 8, 8], clip[0, 8, -8], clip[0, -8, -8], clip[0, -8, 8]]
    turns = degrees // 90
    for k in range(4):
        assert np.abs(seen[(k + turns) % 4].astype(int) - corners[k]).max() < 25


@pytest.mark.parametrize(
    ("size", "short", "wanted"),
    [
        ((340, 256), 128, (170, 128)),
        ((256, 340), 128, (128, 170)),
        ((100, 100), 64, (64, 64)),
        ((612, 212), 160, (462, 160)),
        ((128, 96), 200, (128, 96)),
        ((128, 96), None, (128, 96)),
    ],
)
def test_sizes(size: tuple[int, int], short: int | None, wanted: tuple[int, int]) -> None:
    assert scaled_size(*size, short) == wanted


def test_shrinking_averages(tmp_path: Path) -> None:
    # Columns of black and white, two pixels a period: averaged they are one grey, not stripes.
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    path = write_video(tmp_path / "s.mp4", [stripes] * 2, crf="0")
    clip = decode(path, fps=30, short_side=32)
    inner = clip[0, 4:-4, 4:-4].astype(int)
    assert inner.max() - inner.min() < 20 and 100 < inner.mean() < 155


def test_decoding_twice_gives_the_same_bits(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (8, 90, 122, 3), dtype=np.uint8)
    path = write_video(tmp_path / "n.mp4", list(noise))
    first, second = (decode(path, fps=30, short_side=57) for _ in range(2))
    assert np.array_equal(first, second) and first.shape[1] == 57


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def moving(count: int = 60) -> list[np.ndarray]:
    picture = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    return [np.roll(picture, 3 * k, axis=1) for k in range(count)]


@pytest.mark.parametrize(
    ("name", "codec", "muxer"),
    [
        ("index_last.mp4", "libx264", {}),
        ("index_first.mp4", "libx264", {"movflags": "faststart"}),
        ("a.mkv", "libx264", {}),
        ("a.avi", "mpeg4", {}),
        ("a.mov", "mpeg4", {"movflags": "faststart"}),
    ],
)
@pytest.mark.parametrize("share", [0.5, 0.85])
def test_cut_off_files_are_found(
    tmp_path: Path, name: str, codec: str, muxer: dict[str, str], share: float
) -> None:
    path = write_video(tmp_path / name, moving(), codec=codec, muxer=muxer)
    assert verify(path).frames == 60
    with pytest.raises(DataError, match=r"cut off|damaged") as caught:
        verify(cut(path, share))
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"cut off|damaged"):
        decode(path, fps=30, short_side=32)


def test_damage_in_the_middle_is_found_though_the_header_is_whole(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving())
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = np.random.default_rng(1).bytes(2000)
    path.write_bytes(data)
    assert probe(path).frames == 60
    with pytest.raises(DataError, match=r"damaged after frame \d+"):
        verify(path)


def test_faults_of_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video\n" * 100)
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        silence = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono"
        )
        silence.sample_rate = 44100
        container.mux([*stream.encode(silence), *stream.encode(None)])
    for name, reason in {
        "nope.mp4": "missing",
        "empty.mp4": "empty (0 bytes)",
        "text.mp4": "damaged or not a video",
        "sound.mp4": "no video stream",
        "": "a folder, not a video",
    }.items():
        for read in (probe, verify):
            with pytest.raises(DataError) as caught:
                read(tmp_path / name)
            assert reason in str(caught.value) and str(tmp_path / name) in str(caught.value)


def test_one_frame_is_a_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "one.mp4", greys([120]))
    assert decode(path, fps=30, short_side=None).shape[0] == 1
    assert decode(path, fps=1, short_side=None).shape[0] == 1


def test_real_clips_have_the_frames_that_their_list_counts(ut_interaction: Path) -> None:
    with (ut_interaction / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 120
    for row in rows:
        info = verify(ut_interaction / row["path"])
        assert (info.frames, info.width, info.height) == (
            int(row["frames"]),
            int(row["width"]),
            int(row["height"]),
        )
        assert (info.fps, info.frames_at(30)) == (float(row["fps"]), int(row["frames"]))


def test_real_clips_are_decoded_in_the_order_of_motion(ut_interaction: Path) -> None:
    """Packed Xvid has shuffled stamps; in the right order neighbouring frames differ least."""
    clip = decode(ut_interaction / "set1" / "0_1_4.avi", fps=30, short_side=64).astype(float)
    assert len(clip) == 108

    def roughness(order: list[int]) -> float:
        return float(np.mean([np.abs(clip[b] - clip[a]).mean() for a, b in pairwise(order)]))

    swapped = list(range(len(clip)))
    for k in range(2, len(clip) - 1, 3):
        swapped[k], swapped[k + 1] = swapped[k + 1], swapped[k]
    assert roughness(list(range(len(clip)))) < 0.8 * roughness(swapped)


def test_odd_real_files(decoder_samples: Path) -> None:
    counts = {
        "demo.mp4": 300,  # 10 s at 28 frames/s
        "demo_spatiotemporal_det.mp4": 285,  # 9.5 s at 6
        "flipping_a_pancake.mkv": 310,
        "test.mp4": 300,
        "test.avi": 197,  # 164 frames at 25: 6.56 s
        "unordered.mov": 4,
        "video_90.mov": 3,
    }
    for name, frames in counts.items():
        clip = decode(decoder_samples / name, fps=30, short_side=56)
        assert len(clip) == frames, name
    upright = {"video_0": False, "video_90": True, "video_180": False, "video_270": True}
    for name, portrait in upright.items():
        info = probe(decoder_samples / f"{name}.mov")
        assert (info.height > info.width) == portrait
    with pytest.raises(DataError, match=r"corrupted\.mp4: damaged after frame 28"):
        verify(decoder_samples / "corrupted.mp4")
    with pytest.raises(DataError, match=r"test\.wav: no video stream"):
        probe(decoder_samples / "test.wav")


def test_turned_pictures_agree_with_the_peers_way_of_turning(decoder_samples: Path) -> None:
    """FFmpeg's transpose filter, applied by hand, gives what the metadata gave."""
    # video_90 asks for one quarter turn clockwise ("clock"), video_270 for the other way.
    for name, direction in (("video_90", "clock"), ("video_270", "cclock")):
        path = decoder_samples / f"{name}.mov"
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            graph = av.filter.Graph()
            source = graph.add_buffer(template=stream)
            turn = graph.add("transpose", direction)
            sink = graph.add("buffersink")
            source.link_to(turn)
            turn.link_to(sink)
            graph.configure()
            graph.push(next(container.decode(stream)))
            wanted = graph.pull().to_ndarray(format="rgb24").astype(int)
        found = decode(path, fps=30, short_side=None)[0].astype(int)
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).mean() < 3
