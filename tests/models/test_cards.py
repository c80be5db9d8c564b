import hashlib
import json

import pytest
import torch
from helpers.paths import ROOT
from safetensors.torch import save_file

from attnimg.errors import Unavailable
from attnimg.models import cards

WEIGHTS = ROOT / "weights"

HEADER = {
    "task": "classify",
    "parameters": 7400000,
    "gmac": 1.1934,
    "architecture": {"name": "classifier", "backbone": {"widths": [32, 96, 192], "spatial_attention": "self"}},
    "classes": [{"id": "n01443537", "label": "goldfish"}, {"id": "n01629819", "label": "newt | eft"}],
    "preprocessing": {"size": 64, "mean": [0.48, 0.45, 0.4]},
    "training": {"data": "Tiny ImageNet 200", "terms": "research use", "recipe": "objects.toml", "ema": True},
    "figures": [
        {"name": "top-1", "value": 0.70123, "on": "10,000 images", "command": "attnimg evaluate classify tiny"},
        {"name": "ECE", "value": 0.0123, "on": "10,000 images", "command": "attnimg evaluate classify tiny"},
    ],
    "attention": {"map": "attention"},
    "limits": ["One object per image.", "No people."],
}


def save(path, **changes):
    header = {key: value for key, value in (HEADER | changes).items() if value is not None}
    save_file({"w": torch.zeros(3)}, path, {"attnimg": json.dumps(header, sort_keys=True)})
    return path


def test_card_says_what_the_header_says(tmp_path):
    save(tmp_path / "objects.safetensors")
    assert sorted(p.name for p in cards.write_cards(tmp_path)) == ["manifest.json", "objects.md"]
    lines = (tmp_path / "objects.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# objects"
    for line in (
        "- parameters: 7,400,000",
        "- gmac: 1.1934",
        "| name | value | on | command |",
        "| top-1 | 0.70123 | 10,000 images | `attnimg evaluate classify tiny` |",
        "- terms: research use",
        "- ema: yes",
        "- mean: 0.48, 0.45, 0.4",
        "  - widths: 32, 96, 192",
        "- map: attention",
        "- No people.",
        "- classes: 2",
        "## Classes",
        "| n01629819 | newt \\| eft |",
    ):
        assert line in lines
    assert any("0.5 is what uniform attention would give" in line for line in lines)


def test_manifest(tmp_path):
    files = [save(tmp_path / "a.safetensors"), save(tmp_path / "b.safetensors", task="enhance", classes=None)]
    cards.write_cards(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest == {
        file.stem: {
            "file": file.name,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "size": file.stat().st_size,
            "task": task,
        }
        for file, task in zip(files, ("classify", "enhance"), strict=True)
    }


def test_a_header_that_leaves_something_out_is_named(tmp_path):
    save(tmp_path / "objects.safetensors", limits=None, figures=None)
    with pytest.raises(Unavailable, match=r"objects\.safetensors lacks these keys: figures, limits"):
        cards.write_cards(tmp_path)
    assert not (tmp_path / "objects.md").exists()


def test_there_is_a_command(run, tmp_path):
    status, out, said = run("models", "cards", tmp_path)
    assert (status, out) == (4, "")
    assert said.startswith("attnimg: There are no *.safetensors files in")
    save(tmp_path / "objects.safetensors")
    status, out, _ = run("models", "cards", tmp_path)
    assert (status, out.count("\n")) == (0, 2)


def test_the_cards_beside_the_weights_are_up_to_date():
    if not list(WEIGHTS.glob("*.safetensors")):
        pytest.skip("no weights lie in this checkout")
    for name, text in cards.render_cards(WEIGHTS).items():
        assert (WEIGHTS / name).read_text(encoding="utf-8") == text, "run: attnimg models cards weights"
