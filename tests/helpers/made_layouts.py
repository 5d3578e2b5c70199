"""Small data sets that lie on the disk as their authors hand them out, with real videos."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.helpers.made_videos import greys, write_pictures, write_video


def _video(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = {".avi": "mpeg4", ".webm": "libvpx"}.get(path.suffix, "libx264")
    write_video(path, greys(range(level, level + 4)), codec=codec)


def _text(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def ucf101(root: Path) -> Path:
    names = [f"{c}/v_{c}_g{g:02d}_c01.avi" for c in ("Archery", "Biking") for g in (1, 8, 9)]
    for level, name in enumerate(names):
        _video(root / "UCF-101" / name, 40 + 20 * level)
    lists = root / "ucfTrainTestlist"
    _text(lists / "classInd.txt", "1 Biking", "2 Archery")
    for number, tested in ((1, "_g01_"), (2, "_g08_")):
        train = [name for name in names if tested not in name]
        labels = [f"{name} {2 if 'Archery' in name else 1}" for name in train]
        _text(lists / f"trainlist0{number}.txt", *labels)
        _text(lists / f"testlist0{number}.txt", *(name for name in names if tested in name))
    return root


def hmdb51(root: Path) -> Path:
    for level, action in enumerate(("brush_hair", "wave")):
        names = [
            f"{s}_{action}_u_nm_np1_ba_goo_0.avi" for s in ("April_09", "Day_9", "TheEnd", "Zoo")
        ]
        for number, name in enumerate(names):
            _video(root / "videos" / action / name, 40 + 60 * level + 12 * number)
        for split in (1, 2, 3):
            uses = [(k + split) % 3 for k in range(4)]
            lines = [f"{name} {use} " for name, use in zip(names, uses, strict=True)]
            _text(root / "testTrainMulti_7030_splits" / f"{action}_test_split{split}.txt", *lines)
    return root


def kinetics(root: Path) -> Path:
    clips = {
        "train": (
            ("abseiling", "-3B32lodo2M", 59),
            ("zumba", "0abc_defghi", 7),
            ("zumba", "gone0000000", 1),
        ),
        "val": (("abseiling", "2abcdefghij", 0), ("zumba", "3abcdefghij", 120)),
    }
    for part, listed in clips.items():
        lines = [f"{c},{i},{t},{t + 10},{part}" for c, i, t in listed]
        _text(
            root / "annotations" / f"{part}.csv",
            "label,youtube_id,time_start,time_end,split",
            *lines,
        )
        for action, id_, start in listed:
            if not id_.startswith("gone"):
                _video(root / part / action / f"{id_}_{start:06d}_{start + 10:06d}.mp4", 60 + start)
    return root


def something(root: Path) -> Path:
    templates = ("Pushing [something] from left to right", "Dropping [something]")
    labels = [template.replace("[", "").replace("]", "") for template in templates]
    _text(root / "labels" / "labels.json", json.dumps({labels[0]: "0", labels[1]: "1"}))
    for part, ids in (("train", (10, 11, 12)), ("validation", (20, 21))):
        entries = [{"id": str(i), "label": "x", "template": templates[i % 2]} for i in ids]
        _text(root / "labels" / f"{part}.json", json.dumps(entries))
        for i in ids:
            _video(root / "20bn-something-something-v2" / f"{i}.webm", 5 * i)
    return root


def twentybn(root: Path) -> Path:
    labels = ("Swiping Right", "Swiping Left")
    _text(root / "jester-v1-labels.csv", *labels)
    for part, ids in (("train", (1, 2, 3)), ("validation", (4, 5))):
        _text(root / f"jester-v1-{part}.csv", *(f"{i};{labels[i % 2]}" for i in ids))
        for i in ids:
            write_pictures(root / "20bn-jester-v1" / str(i), greys(range(30 * i, 30 * i + 6)))
    return root


def diving48(root: Path) -> Path:
    _text(root / "Diving48_vocab.json", json.dumps([["Back", "FREE"], ["Inward", "PIKE"]]))
    for part, ids in (("train", (0, 1, 2)), ("test", (3, 4))):
        entries = [
            {"vid_name": f"_8V_{i:05d}", "label": i % 2, "start_frame": 0, "end_frame": 4}
            for i in ids
        ]
        _text(root / f"Diving48_V2_{part}.json", json.dumps(entries))
        for i in ids:
            _video(root / "rgb" / f"_8V_{i:05d}.mp4", 40 + 30 * i)
    return root


def mmaction2(root: Path) -> Path:
    for part, ids in (("train", (0, 1, 2)), ("val", (3, 4))):
        _text(root / f"mine_{part}_list_videos.txt", *(f"c{i % 2}/{i}.mp4 {i % 2}" for i in ids))
        for i in ids:
            _video(root / f"videos_{part}" / f"c{i % 2}" / f"{i}.mp4", 40 + 30 * i)
    _text(root / "label_map.txt", "walk", "run")
    return root


def mmaction2_pictures(root: Path) -> Path:
    for part, ids in (("train", (0, 1, 2)), ("val", (3, 4))):
        for split in (1, 2):
            lines = (f"c{i % 2}/{i} 6 {i % 2}" for i in ids)
            _text(root / f"mine_{part}_split_{split}_rawframes.txt", *lines)
        for i in ids:
            folder = root / "rawframes" / f"c{i % 2}" / str(i)
            write_pictures(folder, greys([40 + 30 * i] * 6), form="img_{:05d}.jpg")
    return root


def frames(root: Path) -> Path:
    for level, name in enumerate(("run/a", "run/b", "walk/a", "walk/b")):
        write_pictures(root / name, greys([40 + 50 * level] * 5))
    return root


def webdataset(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    _text(root / "classes.txt", "walk", "run")
    for part, ids in (("train", (0, 1, 2, 3)), ("val", (4, 5))):
        with tarfile.open(root / f"{part}-000000.tar", "w") as tar:
            for i in ids:
                _video(root / f"{i}.mp4", 40 + 30 * i)
                tar.add(root / f"{i}.mp4", f"{i:06d}.mp4")
                (root / f"{i}.mp4").unlink()
                if part == "train":
                    _member(tar, f"{i:06d}.cls", str(i % 2))
                else:
                    _member(tar, f"{i:06d}.json", json.dumps({"label": i % 2, "group": f"s{i}"}))
    return root


def _member(tar: tarfile.TarFile, name: str, text: str) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(text)
    tar.addfile(info, io.BytesIO(text.encode()))


#: A data set of each layout that authors or tools made.
MADE: Mapping[str, Callable[[Path], Path]] = {
    "ucf101": ucf101,
    "hmdb51": hmdb51,
    "kinetics": kinetics,
    "something": something,
    "twentybn": twentybn,
    "diving48": diving48,
    "mmaction2": mmaction2,
    "webdataset": webdataset,
    "frames": frames,
}
