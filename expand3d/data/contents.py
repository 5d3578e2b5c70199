"""The contents of a data set: what a machine needs to train from its cache alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expand3d.core.errors import DataError
from expand3d.data.cache import CachedStore, CacheSpec, holder, kept
from expand3d.data.cache_use import Use
from expand3d.data.check import Bad, CheckReport, Progress, summed_up
from expand3d.data.manifest import Manifest, Video
from expand3d.data.source import OWN
from expand3d.data.video_info import VideoInfo


class KeptStore(CachedStore):
    """A store of clips whose videos need not be on this machine: all of them are in its cache."""

    def here(self, root: Path) -> CachedStore:
        """The same clips in another process; DataError where its cache lacks some."""
        return Contents(self.manifest, self.shas, {}, self.bad).store(self.spec, root)


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

    def planned(self, spec: CacheSpec, root: Path) -> CachedStore:
        """A store of the clips for a plan, which writes nothing."""
        return self.store(spec, root)

    def store(self, spec: CacheSpec, root: Path, progress: Progress | None = None) -> CachedStore:
        """The clips in the cache at `root`; DataError where it lacks some.

        `progress` is told of clips that are written, which are none here.
        """
        held = {sha: holder(root, spec, sha) for sha in self.shas}
        use = Use.of(root, (file.path.name for file in held.values()))
        lacking = [sha for sha in self.shas if held[sha].load() is None]
        if lacking:
            raise DataError(
                f"{self.manifest.source} is not on this machine, and its cache {root} lacks "
                f"{len(lacking)} of {len(self.shas)} clips at {spec.fps:g} frames/s and "
                f"{spec.short_side} pixels ({kept(spec)}); {self._way_on}"
            )
        return KeptStore(self.manifest, spec, root, self.shas, self.bad, use)

    @property
    def _way_on(self) -> str:
        if self.manifest.source.startswith(OWN):
            return "resume it from Python with its data: expand3d.resume(name, data=...)"
        return "say with --data where the videos are, or copy the cache"

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
