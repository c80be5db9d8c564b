"""Weight files: a safetensors file holds a model; its header tells how to rebuild and judge it (docs/contract.md, C5).

The file's metadata holds one key, `attnimg`: a sorted JSON object with at least `task` and `architecture`. No code here
unpickles.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnimg.errors import Unavailable
from attnimg.files.state import sha256
from attnimg.files.write import replacing

if TYPE_CHECKING:
    from torch import Tensor

KEY = "attnimg"
LARGEST_HEADER = 4 << 20  # bytes; ours are a few kB, so a larger one is an attack or a damaged file


def weights_folder() -> Path:
    """Return the folder of the shipped weights: inside an installed package, next to it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "weights"
    return inside if inside.is_dir() else package.parent / "weights"


def available() -> list[Path]:
    """Return the shipped weight files, sorted by name."""
    return sorted(weights_folder().glob("*.safetensors"))


def read_header(path: Path) -> dict[str, Any]:
    """Return the JSON header of a weight file without reading tensors. Unavailable: the file is damaged or not ours."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(LARGEST_HEADER, path.stat().st_size):
                raise ValueError("header longer than the file")  # noqa: TRY301
            header: Any = json.loads(json.loads(file.read(length))["__metadata__"][KEY], parse_constant=_refuse)
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, RecursionError, struct.error) as error:
        raise Unavailable(
            f"{path} is not a weight file of attnimg, or it is damaged. Download it again, or train it again."
        ) from error
    match header:
        case {"task": str(), "architecture": dict()}:
            found: dict[str, Any] = header
        case _:
            raise Unavailable(
                f"The header of {path} lacks task or architecture. Train it again with this version of attnimg."
            )
    classes = found.get("classes", [])
    if not isinstance(classes, list) or not all(_is_class(entry) for entry in classes):
        raise Unavailable(f"The header of {path} has malformed classes. Train it again with this version of attnimg.")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not valid JSON")


def _is_class(entry: Any) -> bool:
    match entry:
        case {"id": str() | int(), "label": str()}:
            return True
    return False


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a weight file's tensors without reading them. Unavailable: the file is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no dict
    except (SafetensorError, OSError) as error:
        raise Unavailable(f"{path} is damaged ({error}). Download it again, or train it again.") from error


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return header and tensors (fp32, on the CPU) of a weight file. Unavailable: it is damaged, or holds NaN."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    header = read_header(path)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise Unavailable(f"{path} is damaged ({error}). Download it again, or train it again.") from error
    tensors = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    if broken := [name for name, t in tensors.items() if not t.isfinite().all()]:
        raise Unavailable(
            f"{path} is damaged ({broken[0]} holds NaN or infinity). Download it again, or train it again."
        )
    return header, tensors


def halve(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors in the precision of stored weights: floating point becomes fp16."""
    return {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}


def write(path: Path, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a weight file atomically. header: JSON values only."""
    from safetensors.torch import save

    data = save(
        {n: t.detach().cpu().contiguous() for n, t in tensors.items()},
        {KEY: json.dumps(header, sort_keys=True, allow_nan=False)},
    )
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def verify(path: Path) -> None:
    """Check a weight file against manifest.json in its folder, and read all of it. Unavailable: it is not intact."""
    manifest = path.with_name("manifest.json")
    if manifest.is_file():
        try:
            digest = json.loads(manifest.read_text())[path.stem]["sha256"]
        except (ValueError, KeyError, TypeError):
            raise Unavailable(f"{path} is not listed in {manifest}. Install attnimg again.") from None
        if digest != sha256(path):
            raise Unavailable(f"{path} is not the file that was shipped: its SHA-256 differs. Install attnimg again.")
    read(path)
