"""`python -m expand3d` is the `expand3d` command."""

import sys

from expand3d.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
