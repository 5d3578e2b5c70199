"""A study's folder: where its files live, and what it may be called.

`ROOT/NAME/` holds study.db (the record, unless it is in another storage), lock, checkpoints/ and
weights/.
"""

from __future__ import annotations

import os
import random
import re
import shlex
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from expand3d.core.errors import ConfigError, FileError, StudyError, nearest
from expand3d.core.files import make_folder, new_folder

DEFAULT_ROOT = "studies"
MAX_NAME = 64
#: Stands for a password in a URL.
HIDDEN = "***"
#: Names that Windows keeps for devices; a study folder may be copied there.
RESERVED = {"con", "prn", "aux", "nul"} | {f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10)}
ADJECTIVES = ("amber", "brisk", "calm", "eager", "gentle", "keen", "quiet", "rapid", "steady")
NOUNS = ("badger", "crane", "finch", "gecko", "heron", "lynx", "otter", "raven", "stoat", "wren")


def check_name(name: str) -> str:
    """`name` itself where it is a portable file name; ConfigError with the nearest else."""
    legal = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:MAX_NAME].rstrip(".") or "study"
    if legal.split(".")[0].lower() in RESERVED:
        legal = f"study-{legal}"[:MAX_NAME]
    if name != legal:
        raise ConfigError(
            f"study name {name!r} must be a portable file name of at most {MAX_NAME} letters, "
            f"digits, '.', '_' and '-'; the nearest is {legal!r}"
        )
    return name


def made_up_name(existing: Collection[str], *, seed: int | None = None) -> str:
    """A name such as 'quiet-heron' that no study in `existing` has ('quiet-heron-2' if one has)."""
    choose = random.Random(seed).choice
    name = f"{choose(ADJECTIVES)}-{choose(NOUNS)}"
    number = 2
    made = name
    while made in existing:
        made = f"{name}-{number}"
        number += 1
    return made


@dataclass(frozen=True)
class StudyFolder:
    """The paths of one study."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def database(self) -> Path:
        return self.path / "study.db"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def weights(self) -> Path:
        return self.path / "weights"

    def make(self) -> StudyFolder:
        """The same folder, now there with checkpoints/ and weights/."""
        for path in (self.checkpoints, self.weights):
            make_folder(path)
        return self

    def empty(self) -> None:
        """Take away what `make`, and a lock, have left of a start that failed before all else."""
        with suppress(OSError, ValueError, FileError):
            for made in (self.checkpoints, self.weights):
                with suppress(OSError):
                    made.rmdir()
            if {each.name for each in self.path.iterdir()} <= {self.lock.name}:
                self.lock.unlink(missing_ok=True)
            else:
                self.make()


@contextmanager
def begun_whole(folder: StudyFolder) -> Iterator[StudyFolder]:
    """The folder, made for a start, which takes it away again where it fails before all else."""
    with new_folder(folder.path):
        try:
            yield folder.make()
        except BaseException:
            folder.empty()
            raise


def study_folder(name: str, root: str | Path = DEFAULT_ROOT) -> StudyFolder:
    """The paths of study `name` under `root`, whether it is there or not."""
    return StudyFolder(Path(root) / check_name(name))


def study_names(root: str | Path = DEFAULT_ROOT) -> list[str]:
    """Names of the studies whose record lies under `root`, sorted."""
    try:
        return sorted(path.parent.name for path in Path(root).glob("*/study.db"))
    except (OSError, ValueError) as error:  # a name that no folder can have
        raise FileError(f"--root {str(root)!r} cannot be read: {error}") from None


def find_study(name: str, root: str | Path = DEFAULT_ROOT) -> StudyFolder:
    """The folder of a study that is there; StudyError names the nearest where it is not."""
    folder = StudyFolder(Path(root) / name)
    names = study_names(root)
    if name not in names:
        hint = nearest(name, names) if names else ""
        raise StudyError(
            f"there is no study {name!r} in {root}{hint}; "
            "--root says where studies live, --storage where else a record is kept"
        )
    return folder


def study_command(
    verb: str, name: str, *more: str, root: str | Path = DEFAULT_ROOT, storage: str | None = None
) -> str:
    """The command `expand3d VERB NAME`, with where the study lives as any working folder finds it.

    A password is hidden, so that who has one puts it in.
    """
    words = ["expand3d", verb, name, "--root", _quoted(os.path.abspath(root))]
    if storage is not None:
        words += ["--storage", _quoted(hide_password(_from_anywhere(storage)))]
    return " ".join([*words, *more])


def resume_command(
    name: str, *, root: str | Path = DEFAULT_ROOT, storage: str | None = None
) -> str:
    """The command that continues the study."""
    return study_command("resume", name, root=root, storage=storage)


def _quoted(word: str) -> str:
    """A word as a shell takes it; the stars of a hidden password need no quotes."""
    plain = word.replace(HIDDEN, "hidden")
    return word if shlex.quote(plain) == plain else shlex.quote(word)


def _from_anywhere(url: str) -> str:
    """The URL of a record, its file independent of the working folder where it is SQLite's."""
    kind, slashes, path = url.partition(":///")
    if kind.partition("+")[0] != "sqlite" or not slashes or path.startswith(("/", ":", "file:")):
        return url
    return f"{kind}{slashes}{os.path.abspath(path)}" if path else url


def hide_password(url: str) -> str:
    """The URL, or a text with URLs in it, with *** for a password."""
    return re.sub(r"(://[^:/@\s]*:)[^/\s]*@", rf"\1{HIDDEN}@", url)
