"""Trained weights of a study's trials: one file per training, until they are pruned."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path

from expand3d.core.errors import StudyError
from expand3d.core.files import make_folder, write_whole
from expand3d.core.result import TrainingKey
from expand3d.study.folder import StudyFolder

SUFFIX = ".safetensors"


class WeightStore:
    """The weights below `weights/trials/NUMBER/` of a study's folder, by training key.

    A file that has its name is whole. Several processes may use one store: each writes its own
    trials, and what another has pruned is not missed.
    """

    def __init__(self, folder: StudyFolder) -> None:
        self._folder = folder.weights / "trials"

    def path(self, number: int, key: TrainingKey) -> Path:
        """The file for the weights of one training, there or not.

        Whoever writes it by itself has to write it whole, as `training.checkpoint.save_weights`.
        """
        return self._of(number) / f"{str(key).replace('/', '-')}{SUFFIX}"

    def put(self, number: int, key: TrainingKey, weights: bytes) -> Path:
        """The file of one training, which holds these weights now, in place of older ones."""
        make_folder(self._of(number))
        return write_whole(self.path(number, key), weights)

    def get(self, number: int, key: TrainingKey) -> Path | None:
        """The file with the weights of one training; None where they were not kept, or pruned."""
        path = self.path(number, key)
        return path if path.is_file() else None

    def keys(self, number: int) -> tuple[TrainingKey, ...]:
        """The trainings of a trial whose weights are here, in order of their text."""
        found = []
        for path in sorted(self._files(self._of(number))):
            # Other files, such as one that is just being written, are nobody's weights.
            if path.suffix == SUFFIX:
                with contextlib.suppress(StudyError):
                    found.append(TrainingKey.parse(path.stem.replace("-", "/")))
        return tuple(found)

    def numbers(self) -> tuple[int, ...]:
        """The trials that have weights here, in order."""
        found = (int(path.name) for path in self._files(self._folder) if path.name.isdecimal())
        return tuple(sorted(number for number in found if self.keys(number)))

    def prune(self, keep: Collection[int]) -> int:
        """Bytes of the files that were deleted: those of all trials but `keep`.

        What a killed write has left of such a trial goes too.
        """
        freed = 0
        for folder in self._files(self._folder):
            if not folder.name.isdecimal() or int(folder.name) in keep:
                continue
            for path in self._files(folder):
                with contextlib.suppress(FileNotFoundError):  # another process prunes as well
                    size = path.stat().st_size
                    path.unlink()
                    freed += size
            with contextlib.suppress(OSError):  # gone, or somebody writes into it again
                folder.rmdir()
        return freed

    def _of(self, number: int) -> Path:
        return self._folder / str(number)

    @staticmethod
    def _files(folder: Path) -> list[Path]:
        try:
            return list(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
