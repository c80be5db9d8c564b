"""`--sort-into`: each image filed into a folder named after its best label."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from attnimg.results import Classified, Failed, Record, Skipped
