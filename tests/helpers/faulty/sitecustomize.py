"""Pillow with faults: Python starts with this file where PYTHONPATH names its folder, and so do the program's children.

Files that end in b"crash" or b"hang" make it do so wherever it opens them, be it for their size alone; so does the way
back from RGB into any profile of gray, which only those take who write.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from PIL import ImageCms, ImageFile

_open, _link = ImageFile.ImageFile.__init__, ImageCms.ImageCmsTransform.__init__


def _open_or_fail(self: Any, fp: Any, *rest: Any) -> None:
    data = fp.read()
    fp.seek(0)
    if data.endswith(b"crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    while data.endswith(b"hang"):
        time.sleep(1)
    _open(self, fp, *rest)


def _link_or_fail(self: Any, source: Any, target: Any, before: str, after: str, *rest: Any, **options: Any) -> None:
    if after == "L":
        os.kill(os.getpid(), signal.SIGSEGV)
    _link(self, source, target, before, after, *rest, **options)


ImageFile.ImageFile.__init__ = _open_or_fail  # type: ignore[method-assign]
ImageCms.ImageCmsTransform.__init__ = _link_or_fail  # type: ignore[method-assign]
