"""Model cards and the manifest of the weights, generated from the headers of the weight files.

The contents follow Mitchell et al. 2019, Model Cards for Model Reporting (https://arxiv.org/abs/1810.03993). The header
is their only source; `attnimg models cards weights` writes all cards again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attnimg.errors import Unavailable
from attnimg.files.state import sha256
from attnimg.models.checkpoints import read_header
from attnimg.models.registry import find_task

SECTIONS = {
    "figures": ("Figures", "Each was measured by the command beside it."),
    "training": ("Training data, terms and recipe", ""),
    "limits": ("Limits", ""),
    "attention": (
        "Where it looks",
        "`--overlay` draws this map. Its values lie in [0, 1] on a fixed scale that is never stretched to an image, so"
        " that two maps can be compared: where weights sum to one over L positions it is w / (w + 1/L), and 0.5 is what"
        " uniform attention would give; a gate is shown as it is.",
    ),
    "preprocessing": ("Input", ""),
    "architecture": ("Architecture", ""),
}
"""Sections of every card: the header's key, a heading, a sentence below it. Other keys come first; lists come last."""

LEADING = ("name", "value", "unit", "on")


def write_cards(folder: Path) -> list[Path]:
    """Write `<name>.md` for each weight file of a folder, and manifest.json, into that folder; return their paths.

    Unavailable: there is no weight file, or a header lacks a section.
    """
    paths = []
    for name, text in render_cards(folder).items():
        paths.append(folder / name)
        paths[-1].write_text(text, encoding="utf-8")
    return paths


def render_cards(folder: Path) -> dict[str, str]:
    """Return the texts of `write_cards` by file name. Raises as it does."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise Unavailable(f"There are no *.safetensors files in {folder}. Give the folder that holds the weights.")
    texts, manifest = {}, {}
    for file in files:
        header = read_header(file)
        entry = {"file": file.name, "sha256": sha256(file), "size": file.stat().st_size, "task": header["task"]}
        manifest[file.stem] = entry
        texts[f"{file.stem}.md"] = render_card(file.stem, header, entry)
    return {**texts, "manifest.json": json.dumps(manifest, indent=2, sort_keys=True) + "\n"}


def render_card(name: str, header: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """Return a model card in Markdown. header: of the weight file. entry: the file's entry in the manifest.

    Mappings become lists; a sequence of mappings becomes a table with a column for each key. Unavailable: the header
    lacks one of `SECTIONS`.
    """
    lacking = [key for key in SECTIONS if key not in header]
    if lacking:
        raise Unavailable(f"The header of {entry['file']} lacks these keys: {', '.join(lacking)}. Add them to it.")
    rest = {key: value for key, value in sorted(header.items()) if key not in SECTIONS}
    facts = {key: len(value) if isinstance(value, list) else value for key, value in rest.items()}
    facts |= {"file": f"{entry['file']}, {entry['size'] / 1e6:.1f} MB", "sha256": entry["sha256"]}
    others = {key: (key.capitalize(), "") for key, value in rest.items() if isinstance(value, list)}

    parts = [f"# {name}", find_task(header["task"]).sentence, _block(facts)]
    for key, (heading, sentence) in (SECTIONS | others).items():
        parts += [f"## {heading}", sentence, _block(header[key])]
    parts.append("Generated from the weight file's header by `attnimg models cards weights`; edits here are lost.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(value: Any) -> str:
    match value:
        case Mapping():
            return "\n".join(_items(value))
        case [Mapping(), *_]:
            return _table(value)
        case [str(), *_]:
            return "\n".join(f"- {item}" for item in value)
        case _:
            return _inline(value)


def _items(values: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield f"{indent}- {key}:"
            yield from _items(value, indent + "  ")
        else:
            yield f"{indent}- {key}: {_named(key, value)}"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    keys = {key: None for row in rows for key in row}
    columns = sorted(keys, key=lambda key: (LEADING.index(key) if key in LEADING else len(LEADING), key))
    lines = [columns, ["---"] * len(columns)]
    lines += [[_named(key, row.get(key, "")).replace("|", "\\|") for key in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _named(key: str, value: Any) -> str:
    return f"`{value}`" if key in {"command", "sha256"} and value else _inline(value)


def _inline(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.6g}"
        case list() | tuple():
            return ", ".join(map(_inline, value))
        case None:
            return "none"
        case _:
            return str(value)
