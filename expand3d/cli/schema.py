"""Print the JSON schema of study files, by which an editor completes keys and checks values.

examples:
  expand3d schema > study.schema.json

Begin a study file beside it with this line, which Even Better TOML and taplo read:
  #:schema study.schema.json
"""

from __future__ import annotations

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`expand3d schema` has no flags."""


def main(args: argparse.Namespace) -> int:
    """Print the schema as JSON."""
    from expand3d.study.schema import study_schema

    print(json.dumps(study_schema(), indent=2, ensure_ascii=False))
    return 0
