"""The program `attnimg`, also as `python -m attnimg`."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Load the program and run it. Ctrl-C while it loads ends it quietly with 130, too (docs/contract.md, C4)."""
    try:
        from attnimg.cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
