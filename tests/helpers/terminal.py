"""A terminal that a test can watch."""

from __future__ import annotations

import io
import re
import time


class Terminal(io.StringIO):
    """Text that is shown, by any thread."""

    def isatty(self) -> bool:
        return True

    def wait_for(self, pattern: str, *, after: int = 0) -> None:
        """Wait until the pattern, which knows no escapes, is shown behind the first `after` characters."""
        deadline = time.monotonic() + 60
        while not re.search(pattern, strip_escapes(self.getvalue()[after:])):
            assert time.monotonic() < deadline, f"{pattern} is never shown"
            time.sleep(0.01)


def strip_escapes(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
