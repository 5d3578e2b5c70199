"""A study's data that is an object of the user's own, in place of files."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeVar

from expand3d.core.errors import ConfigError, StudyError
from expand3d.data.contents import Contents
from expand3d.data.source import BUNDLED, OWN
from expand3d.study.config import StudyConfig
from expand3d.study.record import Record

if TYPE_CHECKING:
    from expand3d.data.arrays import DataSet

#: Keys that say something of files.
OF_FILES = ("prefix", "val_data", "group_by_name")

Config = TypeVar("Config", bound=StudyConfig)


def with_data(config: Config, data: DataSet | None) -> tuple[Config, Contents | None]:
    """The configuration of a new study on `data`, and its contents; None where files are read.

    ConfigError where the configuration names files beside it, or an object that is not given.
    """
    if data is None:
        if config.data.startswith(OWN):
            raise ConfigError(
                f"data = {config.data!r} is an object: give it to expand3d.run(data=)"
            )
        return config, None
    if config.data != BUNDLED and not config.data.startswith(OWN):
        raise ConfigError(f"data = {config.data!r} stands beside a data set; leave one of them out")
    if told := [key for key in OF_FILES if getattr(config, key)]:
        raise ConfigError(f"{told[0]} is of files, and the clips are a data set's; leave it out")
    from expand3d.data.arrays import contents_of

    contents = contents_of(data, fps=config.fps)
    return dataclasses.replace(config, data=contents.manifest.source), contents


def known_data(record: Record, data: DataSet | None) -> Contents | None:
    """The contents of a study that is there: of `data`, or what its record says of such data.

    None where the study reads files; StudyError where `data` is given for one of those.
    """
    config = record.config()
    if not config.data.startswith(OWN):
        if data is not None:
            raise StudyError(
                f"study {record.name!r} reads {config.data}, not a data set; leave it out"
            )
        return None
    if data is None:
        kept = record.contents()
        return Contents.from_json(kept) if kept else None
    return with_data(config, data)[1]
