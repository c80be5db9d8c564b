"""`attnimg doctor`: versions, devices and weights, for bug reports."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import typer

from attnimg.cli.lazy import single
from attnimg.cli.terminal.console import Console
from attnimg.cli.terminal.status import ExitStatus
from attnimg.errors import Unavailable
from attnimg.files.state import sha256
from attnimg.models import checkpoints
from attnimg.runtime import count_cores
from attnimg.version import __version__

REQUIRED = ("torch", "kornia", "opencv-python", "pillow", "numpy", "safetensors", "typer", "rich")
OPTIONAL = {
    "lightning": "train",
    "matplotlib": "train",
    "pillow-heif": "heic",
    "pypiqe": "quality",
    "av": "video",
    "watchfiles": "watch",
}


def build_app() -> typer.Typer:
    """Return the command."""
    return single(doctor)


def doctor() -> None:
    """Print versions, devices, threads and weights, for a bug report.

    The exit status is 4 if something is missing or damaged; its line says so.
    """
    console = Console.of_process()
    is_faulty = False
    for name, value, is_well in [
        *_describe_system(),
        *_describe_packages(),
        *_describe_devices(),
        *_describe_weights(),
    ]:
        console.print(f"{name:<16}{value}")
        is_faulty = is_faulty or not is_well
    raise typer.Exit(ExitStatus.UNAVAILABLE if is_faulty else ExitStatus.OK)


Line = tuple[str, str, bool]  # name, value, and whether it is as it should be


def _describe_system() -> Iterator[Line]:
    yield "attnimg", __version__, True
    yield "python", f"{platform.python_version()} {sys.executable}", True
    yield "system", platform.platform(), True
    yield "cpu cores", str(count_cores()), True


def _describe_packages() -> Iterator[Line]:
    for name in REQUIRED:
        found = _find_version(name)
        yield name, found or f"missing; pip install {name}", found is not None
    for name, extra in OPTIONAL.items():
        yield name, _find_version(name) or f"not installed; pip install 'attnimg[{extra}]' brings it", True


def _find_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _describe_devices() -> Iterator[Line]:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library that is missing
        yield "devices", f"torch cannot be imported: {error}", False
        return
    yield "torch threads", str(torch.get_num_threads()), True
    there = "" if torch.cuda.is_available() else ", no GPU found"
    yield "cuda", f"{torch.version.cuda}{there}" if torch.version.cuda else "not in this build of torch", True
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        yield f"cuda:{index}", f"{device.name}, {device.total_memory / 2**30:.0f} GiB", True
    yield "mps", "available" if torch.backends.mps.is_available() else "not available", True


def _describe_weights() -> Iterator[Line]:
    paths = checkpoints.available()
    yield "weights", f"{len(paths)} in {checkpoints.weights_folder()}", bool(paths)
    for path in paths:
        try:
            checkpoints.verify(path)
        except Unavailable as error:
            yield f"  {path.stem}", str(error), False
        else:
            yield f"  {path.stem}", f"whole, sha256 {sha256(path)[:12]}", True
