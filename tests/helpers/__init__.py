"""Things that several tests need: data, networks and studies made for them, and servers."""

from pathlib import Path

#: The repository, from which a process of its own imports these helpers.
ROOT = Path(__file__).parents[2]
