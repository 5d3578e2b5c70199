"""The contents of a data set: what a machine needs to train from its cache alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expand3d.core.errors import DataError
from expand3d.data.cache import CachedStore, CacheSpec
from expand3d.data.cache_use import Use
from expand3d.data.check import Bad, CheckReport, summed_up
from expand3d.data.decode import VideoInfo
from expand3d.data.manifest import Manifest, Video


@dataclass(frozen=True)
class Contents:
    """The videos that a study uses, by the SHA-256 of their content, and the facts about them.

    `bad` were left out; `infos` are by key. Paths in `manifest` need not be there.
    """

    manifest: Manifest
    shas: tuple[str, ...]
    infos: Mapping[str, VideoInfo]
    bad: tuple[Bad, ...] = ()

    @classmethod
    def of(cls, store: CachedStore, report: CheckReport) -> Contents:
        """The contents of `store`."""
        return cls(store.manifest, store.shas, report.infos, store.bad)

    def report(self, *, fps: float) -> CheckReport:
        """The facts, as `check` reports them."""
        videos = {v: self.infos[v.key] for v in self.manifest.videos if v.key in self.infos}
        return summed_up(self.manifest, videos, bad=self.bad, fps=fps)

    def store(self, spec: CacheSpec, root: Path) -> CachedStore:
        """The clips in the cache at `root`; DataError where it lacks some."""
        use = Use.of(root, map(spec.file_name, self.shas))
        lacking = [sha for sha in self.shas if not (root / spec.file_name(sha)).is_file()]
        if lacking:
            raise DataError(
                f"{self.manifest.source} is not on this machine, and its cache {root} lacks "
                f"{len(lacking)} of {len(self.shas)} clips at {spec.fps:g} frames/s and "
                f"{spec.short_side} pixels; say with --data where the videos are, or copy the cache"
            )
        return CachedStore(self.manifest, spec, root, self.shas, self.bad, use)

    def to_json(self) -> dict[str, Any]:
        videos = zip(self.manifest.videos, self.shas, strict=True)
        return {
            "source": self.manifest.source,
            "classes": list(self.manifest.class_names),
            "videos": [[v.key, v.label, v.group, v.split, sha] for v, sha in videos],
            # A remark is about the file, not about what is used of it.
            "infos": {key: list(dataclasses.astuple(i))[:6] for key, i in self.infos.items()},
            "bad": [list(bad) for bad in self.bad],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Contents:
        home = Path(data["source"])
        videos = tuple(
            Video(home / key, key, label, group, split)
            for key, label, group, split, _ in data["videos"]
        )
        return cls(
            manifest=Manifest(videos, tuple(data["classes"]), data["source"]),
            shas=tuple(row[-1] for row in data["videos"]),
            infos={key: VideoInfo(*facts) for key, facts in data["infos"].items()},
            bad=tuple(Bad(*bad) for bad in data["bad"]),
        )
