"""Run a task on all inputs: find, stream, journal, and yield a record for each input, in order.

A task's `prepare` (`jobs/<task>/batch.py`) makes a `Batch` from options; `records` runs it and `plan` is the dry run.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from attnimg.errors import ImageError, NoImages
from attnimg.files.outputs import Outputs
from attnimg.files.source import Source
from attnimg.images.reader import Reader
from attnimg.jobs.errors_file import write_errors
from attnimg.jobs.source_queue import SourceQueue
from attnimg.options.common import ImageOptions
from attnimg.pipeline.job import Job, Tell
from attnimg.pipeline.journal.journal import Journal
from attnimg.pipeline.stream import stream
from attnimg.records import Done, Failed, Planned, Record, Skipped, Tally


class Collector:
    """Takes each record in order, and may replace it; at the end it writes the files that cover all inputs."""

    def collect(self, record: Record) -> Record:
        """Take a record and return it, or the one that takes its place."""
        return record

    def finish(self) -> Iterator[str]:
        """Write the files that cover all inputs, and yield a sentence for each that failed."""
        return iter(())


@dataclass
class Batch:
    """A task with its options, ready to run once.

    names: claims the names of an input's outputs; the dry run needs no more. build: loads the model, which takes
    seconds, and returns the job. record: type of the records of inputs that were done. shared_files: files that are
    written once and cover all inputs. complaints: filled in at the end.
    """

    options: ImageOptions
    queue: SourceQueue
    journal: Journal
    reader: Reader
    record: type[Done]
    names: Callable[[Source], Outputs]
    build: Callable[[], Job[Any, Any]]
    collector: Collector = field(default_factory=Collector)
    shared_files: Sequence[Path] = ()
    tally: Tally = field(default_factory=Tally)
    complaints: list[str] = field(default_factory=list)

    def records(self, tell: Tell = lambda words: None) -> Generator[Record]:
        """Run, and yield exactly one record per input, in input order, each as soon as it is known.

        tell: takes the progress of an input that takes long. Closing the iterator stops the run. NoImages: nothing was
        found. JournalFailed, OutputFailed: the journal or the file of --errors cannot be written.
        """
        run, compute = self.options.run, self.options.compute
        with write_errors(run.errors) as write_error:
            job = self.build()
            records = stream(
                (source for source in self.queue if not self.journal.is_own_output(source)),
                job,
                batch_size=compute.batch_size,
                workers=compute.threads,
                admit=self.journal.wrap_admit(job.admit),
                probe=self.reader.probe,
                tell=tell,
            )
            self.journal.start()
            with closing(records):
                for found in records:
                    record = self.collector.collect(found)
                    self.tally.add(record)
                    self.journal.record_outcome(record)
                    if isinstance(record, Failed):
                        write_error(record)
                    yield record
                    if self.tally.failed >= run.most_failures:
                        break
                else:
                    if not self.tally.total:
                        raise NoImages(self.queue.describe_nothing())
                    self.journal.end(self.tally)
        self.complaints += self.collector.finish()

    @property
    def was_stopped(self) -> bool:
        """Whether failures have stopped the run."""
        return self.tally.failed >= self.options.run.most_failures

    def plan(self) -> Generator[Record]:
        """Yield a record for each input, with the files that would be written. NoImages: nothing was found."""
        self.queue.check_ends()
        for source in self.queue:
            record = self._plan(source)
            self.tally.add(record)
            yield record
        if not self.queue.found:
            raise NoImages(self.queue.describe_nothing())

    def _plan(self, source: Source) -> Record:
        try:
            if source.error:
                raise source.error
            outputs = list(self.names(replace(source, probe=self.reader.probe(source))).values())
        except ImageError as error:
            return Failed.of(source.path, error)
        # As `admit` of a job: an input is skipped if the first of its files exists.
        if outputs and outputs[0].skip:
            return Skipped(source.path, str(outputs[0].path))
        new = tuple(str(output.path) for output in outputs if not output.skip)
        return Planned(source.path, new, tuple(str(output.path) for output in outputs if output.skip))
