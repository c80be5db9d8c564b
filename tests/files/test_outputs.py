import os
from pathlib import Path, PurePath

import pytest
from PIL import Image

from attnimg.errors import ImageError, UsageError
from attnimg.files.find import find
from attnimg.files.outputs import Output, OutputNames
from attnimg.files.source import Source
from attnimg.files.write import write_bytes
from attnimg.images.read import MAX_PIXELS
from attnimg.images.reader import DirectReader

is_complete = DirectReader(MAX_PIXELS).is_complete


def source(relative: str, path: str | None = None) -> Source:
    return Source(path or relative, PurePath(relative))


def skipping(folder: Path, **options: object) -> OutputNames:
    return OutputNames(folder, skip_existing=True, is_complete=is_complete, **options)


def kind_of(names: OutputNames, given: Source, ending: str = ".overlay.png") -> str:
    with pytest.raises(ImageError) as caught:
        names.place(given, ending)
    return caught.value.kind


def test_mirrors_and_replaces_the_extension_only(tmp_path: Path) -> None:
    names = OutputNames(tmp_path / "out")
    assert names.place(source("x/a.b.jpg"), ".overlay.png") == Output(tmp_path / "out/x/a.b.overlay.png")
    assert names.place(source("scan"), ".png").path == tmp_path / "out/scan.png"
    assert not (tmp_path / "out").exists()


def test_several_outputs_of_one_source_stand_beside_each_other(tmp_path: Path) -> None:
    names = OutputNames(tmp_path)
    paths = {names.place(source("a.jpg"), ending).path for ending in (".png", ".overlay.png")}
    assert paths == {tmp_path / "a.png", tmp_path / "a.overlay.png"}


def test_first_of_two_gets_the_name(tmp_path: Path) -> None:
    names = OutputNames(tmp_path, overwrite=True)
    names.place(source("a.jpg", "x/a.jpg"), ".overlay.png")
    with pytest.raises(ImageError, match=r"x/a\.jpg") as caught:
        names.place(source("a.png", "y/a.png"), ".overlay.png")
    assert caught.value.kind == "collision"


def test_names_differ_as_the_file_system_has_it(tmp_path: Path) -> None:
    names = OutputNames(tmp_path, ignores_case=False)
    assert names.place(source("a.jpg"), ".png") != names.place(source("A.jpg"), ".png")
    names = OutputNames(tmp_path, ignores_case=True)
    names.place(source("a.jpg"), ".png")
    assert kind_of(names, source("A.jpg"), ".png") == "collision"


def test_existing_outputs(tmp_path: Path) -> None:
    output = tmp_path / "a.overlay.png"
    Image.new("RGB", (4, 4)).save(output)
    assert kind_of(OutputNames(tmp_path), source("a.jpg")) == "exists"
    assert skipping(tmp_path).place(source("a.jpg"), ".overlay.png") == Output(output, skip=True)
    assert OutputNames(tmp_path, overwrite=True).place(source("a.jpg"), ".overlay.png") == Output(output, replace=True)
    output.write_bytes(output.read_bytes()[:-30])  # what does not open is not done
    assert skipping(tmp_path).place(source("a.jpg"), ".overlay.png") == Output(output, replace=True)


def test_what_this_run_began_is_its_own(tmp_path: Path) -> None:
    output = tmp_path / "a.png"
    output.write_bytes(b"half")
    for options in ({}, {"skip_existing": True}):
        names = OutputNames(tmp_path, begun={str(output): "a.jpg"}, is_complete=is_complete, **options)
        assert names.place(source("a.jpg"), ".png") == Output(output, replace=True)
    assert kind_of(OutputNames(tmp_path, begun={str(tmp_path / "b.png"): "a.jpg"}), source("a.jpg"), ".png") == "exists"


def test_what_this_run_began_for_an_image_is_no_others(tmp_path: Path) -> None:
    for ignores_case, begun in ((False, "a.png"), (True, "A.PNG")):
        names = OutputNames(
            tmp_path, overwrite=True, begun={str(tmp_path / begun): "later.jpg"}, ignores_case=ignores_case
        )
        with pytest.raises(ImageError, match=r"that of later\.jpg") as caught:
            names.place(source("a.jpg"), ".png")
        assert caught.value.kind == "collision"
        assert names.place(source("a.jpg", "later.jpg"), ".png").path == tmp_path / "a.png"


def test_a_link_to_nothing_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("nothing")
    assert kind_of(OutputNames(tmp_path), source("a.jpg"), ".png") == "exists"


@pytest.mark.parametrize("relative", ["../a.jpg", "../../x/a.jpg", "/etc/a.jpg", "", "."])
def test_nothing_leaves_the_folder(tmp_path: Path, relative: str) -> None:
    assert kind_of(OutputNames(tmp_path), source(relative)) == "write-failed"


def test_links_in_the_folder_lead_nowhere_else(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    (out / "real").mkdir(parents=True)
    elsewhere.mkdir()
    (out / "away").symlink_to(elsewhere)
    (out / "within").symlink_to("real")
    names = OutputNames(out)
    assert kind_of(names, source("away/a.jpg")) == "write-failed"
    assert kind_of(names, source("away/deeper/a.jpg")) == "write-failed"
    assert names.place(source("within/a.jpg"), ".png").path == out / "within/a.png"


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk")
    assert OutputNames(tmp_path / "out").place(source("a.jpg"), ".png").path == tmp_path / "out/a.png"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out.png").touch()
    with pytest.raises(UsageError, match="is not a folder"):
        OutputNames(tmp_path / "out.png")


def inputs_of(folder: Path, link, named: str) -> list[Source]:
    """The first image's output is there: an overlay of an earlier run, or a link to `kept.png`; `named` is an input."""
    for name in ("a.jpg", "kept.png"):
        (folder / name).touch()
    link(folder / "kept.png", folder / "a.overlay.png")
    return list(find([folder / "a.jpg", folder / named]))


@pytest.mark.parametrize(
    ("link", "named"),
    [(os.rename, "a.overlay.png"), (os.link, "kept.png"), (os.symlink, "a.overlay.png")],
)
@pytest.mark.parametrize("option", ["overwrite", "skip_existing"])
def test_an_input_is_never_overwritten(tmp_path: Path, link, named: str, option: str) -> None:
    inputs = inputs_of(tmp_path, link, named)  # none of them opens
    names = OutputNames(tmp_path, inputs=inputs, is_complete=is_complete, **{option: True})
    with pytest.raises(ImageError, match="never overwritten"):
        names.place(inputs[0], ".overlay.png")


def test_what_lies_beside_its_image_may_be_an_input_that_is_still_to_come(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    for folder in (photos, out):
        folder.mkdir()
        (folder / "a.png").touch()
    (tmp_path / "link").symlink_to("photos")
    given = source("a.jpg", str(photos / "a.jpg"))
    for folder in (photos, tmp_path / "link"):
        with pytest.raises(ImageError, match="never overwritten"):
            skipping(folder, inputs=None).place(given, ".png")
    assert skipping(out, inputs=None).place(given, ".png").replace
    assert skipping(photos, inputs=[given]).place(given, ".png").replace


def test_what_is_of_a_kind_that_is_not_read_stays(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(50))
    target = skipping(tmp_path).place(source("a.jpg"), ".png")
    assert target == Output(tmp_path / "a.png", skip=True)


def test_a_link_to_an_input_may_be_replaced(tmp_path: Path) -> None:
    inputs = inputs_of(tmp_path, os.symlink, "kept.png")
    target = OutputNames(tmp_path, overwrite=True, inputs=inputs).place(inputs[0], ".overlay.png")
    assert target == Output(tmp_path / "a.overlay.png", replace=True)


def test_a_loop_of_links_is_one_images_failure(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    path = OutputNames(tmp_path).place(source("loop/a.jpg"), ".png").path
    with pytest.raises(ImageError) as caught:
        write_bytes(Output(path), b"new")
    assert caught.value.kind == "write-failed"
    with pytest.raises(UsageError):
        OutputNames(tmp_path / "loop")


def test_messages_fit_every_folder(tmp_path: Path) -> None:
    # Not only -o names one; --sort-into does too.
    inputs = inputs_of(tmp_path, os.link, "kept.png")
    messages = []
    for options in ({}, {"overwrite": True, "inputs": inputs}):
        names = OutputNames(tmp_path, **options)
        for _ in range(2):
            with pytest.raises(ImageError) as caught:
                names.place(inputs[0], ".overlay.png")
            messages.append(caught.value.message)
    assert len(set(messages)) == 3
    assert not any(" -o" in message for message in messages)
