"""The program with one more task."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from attnimg.cli.main import main
from attnimg.models.registry import TASKS
from helpers.copy_task import TASK

if __name__ == "__main__":
    TASKS["copy"] = TASK
    main()
