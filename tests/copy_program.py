"""The program with one more command, which decodes photos and writes them as they are.

It does all that the others do but load a net, and so shows in half a second what a fault does to any of them.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from attnimg.cli.batch import Search, run_batch
from attnimg.cli.console import Console
from attnimg.cli.main import app, main
from attnimg.cli.options import Compute, Inputs, Model, Outputs, Report
from attnimg.cli.reading import open_reader
from attnimg.cli.resume import open_journal
from attnimg.cli.spread import spread
from attnimg.images.place import Placer, Targets
from attnimg.images.source import Source
from attnimg.images.write import write_image
from attnimg.results import Enhanced, Record

ENDING = ".copy.png"


class CopyJob:
    def __init__(self, placer: Placer, reader: Any, slow: float, grey: int | None) -> None:
        self.placer, self.reader, self.slow, self.grey = placer, reader, slow, grey

    def admit(self, source: Source) -> Record | Targets:
        return {"output": self.placer.place(source, ENDING)}

    def read(self, source: Source, targets: Targets) -> Any:
        time.sleep(self.slow)
        return self.reader(source), targets["output"]

    def shape(self, ready: Any) -> None:
        return None

    def pixels(self, ready: Any) -> int:
        return 1

    def predict(self, batch: list[Any]) -> list[Any]:
        return batch

    def write(self, source: Source, ready: Any, outcome: Any) -> Record:
        picture, target = ready
        pixels = picture.pixels if self.grey is None else np.full_like(picture.pixels, self.grey)
        write_image(target, pixels)
        return Enhanced(source.path, os.fspath(target.path), "copy", *picture.size)


def copy(
    inputs: Inputs,
    outputs: Outputs,
    report: Report,
    *,
    model: Model,
    slow: Annotated[float, typer.Option(help="Seconds that each photo takes.")] = 0.0,
    grey: Annotated[int | None, typer.Option(help="Write photos of one grey instead.")] = None,
) -> None:
    """Write photos as they are."""
    search = Search(inputs, outputs.output)
    journal = open_journal(report, model, Enhanced)
    placer = Placer(outputs.output or Path(), overwrite=outputs.overwrite, begun=journal.begun)
    compute = Compute(batch_size=4, workers=2)
    console = Console.of_process(report.quiet)
    with open_reader(inputs, compute) as reader:
        job = CopyJob(placer, reader, slow, grey)
        status = run_batch(search, job, Enhanced, compute=compute, report=report, console=console, journal=journal)
    raise typer.Exit(status)


if __name__ == "__main__":
    app.command()(spread(copy))
    main()
