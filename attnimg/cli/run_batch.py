"""Run a task's batch on the terminal: print the records or the plan, count, and return the exit status."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from itertools import chain

from attnimg.cli.options import PrintOptions
from attnimg.cli.process import set_up_libraries
from attnimg.cli.terminal.console import Console
from attnimg.cli.terminal.printing import FORMATS
from attnimg.cli.terminal.status import ExitStatus, Terminated
from attnimg.errors import OutputFailed
from attnimg.jobs.batch import Batch
from attnimg.jobs.run import open_batch
from attnimg.options.common import ImageOptions
from attnimg.pipeline.journal.journal import JournalFailed
from attnimg.records import Failed, Planned, Record, Skipped


def run_batch(task: str, options: ImageOptions, printing: PrintOptions) -> ExitStatus:
    """Run a task, or print its plan."""
    set_up_libraries()
    console = Console.of_process(printing.quiet)
    with open_batch(task, options, printing, stdout=console.stdout) as batch:
        return _print_plan(batch, console) if options.outputs.dry_run else _run(batch, printing, console)


def _run(batch: Batch, printing: PrintOptions, console: Console) -> ExitStatus:
    """Print each record, in order. KeyboardInterrupt, Terminated: after the counts were printed."""
    tally, queue = batch.tally, batch.queue
    style = FORMATS[printing.format or ("table" if console.out.isatty() else "jsonl")]
    _log_left_out(batch, console)
    try:
        with console.progress("images") as progress, ExitStack() as stack:
            records = stack.enter_context(closing(batch.records(progress.step)))
            first = next(records, None)
            write = _print_message(console)
            if not batch.options.outputs.to_stdout:
                with progress.paused_for_stdout():
                    write = stack.enter_context(style(console, batch.record, console.width))
            for record in chain([first] if first else [], records):
                with progress.paused_for_stdout():
                    write(record)
                progress.update(tally.total, queue.total, f"{tally.failed} failed")
    except JournalFailed as error:
        console.log(f"Interrupted: {tally.line(queue.counts.passed_over)}")
        raise OutputFailed(f"{error} Make room, and continue with `attnimg resume`.") from error
    except (KeyboardInterrupt, Terminated):
        console.log(f"Interrupted: {tally.line(queue.counts.passed_over)}")
        raise
    if batch.was_stopped:
        console.error(f"Stopped at the {'first failure' if tally.failed == 1 else 'failures allowed'}.")
    for complaint in batch.complaints:
        console.error(complaint)
    console.log(tally.line(queue.counts.passed_over))
    return ExitStatus.SOME_FAILED if tally.failed or batch.complaints else ExitStatus.OK


def _print_message(console: Console) -> Callable[[Record], None]:
    """Return the printer for a run whose stdout takes an image: failures and notes go to stderr."""

    def write(record: Record) -> None:
        if isinstance(record, Failed):
            console.error(f"{record.path}: {record.message}")
        elif note := getattr(record, "note", None):
            console.log(f"{record.path}: {note}")

    return write


def _print_plan(batch: Batch, console: Console) -> ExitStatus:
    """Print a line per file that would be written, or per image if there is none."""
    _log_left_out(batch, console)
    for record in batch.plan():
        for line in _describe_plan(record):
            console.print(record.path + line)
    console.log(f"A dry run: {batch.tally.line(batch.queue.counts.passed_over)}.")
    for path in batch.shared_files:
        console.print(f"all -> {path}")
    return ExitStatus.SOME_FAILED if batch.tally.failed else ExitStatus.OK


def _describe_plan(record: Record) -> list[str]:
    match record:
        case Failed(_, _, message):
            return [f": {message}"]
        case Skipped(_, output):
            return [f" -> {output} (exists, skipped)"]
        case Planned(_, outputs, existing):
            lines = [f" -> {path}" for path in outputs] + [f" -> {path} (exists, skipped)" for path in existing]
            return lines or [""]
    return [""]


def _log_left_out(batch: Batch, console: Console) -> None:
    if sentence := batch.queue.describe_left_out():
        console.log(sentence)
