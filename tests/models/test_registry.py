"""The registry of tasks: every reference loads, and unknown tasks are refused."""

from __future__ import annotations

import dataclasses

import pytest

from attnimg.errors import UsageError
from attnimg.models import checkpoints
from attnimg.models.registry import TASKS, Reference, find_task

REFERENCES = {
    value.target: value
    for task in TASKS.values()
    for value in (*vars(task).values(), *task.nets.values())
    if isinstance(value, Reference)
}


@pytest.mark.parametrize("target", REFERENCES)
def test_every_reference_loads(target: str) -> None:
    pytest.importorskip("lightning")  # trainers need the extra
    assert REFERENCES[target].load() is not None


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_a_net_a_predictor_and_a_shipped_model(name: str) -> None:
    task = find_task(name)
    assert all(dataclasses.is_dataclass(net.load().Config) for net in task.nets.values())
    assert task.nets
    assert task.predictor is not None
    assert task.model in [path.stem for path in checkpoints.available()]
    assert task.sentence.endswith(".")


def test_an_unknown_task_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'paint'") as refused:
        find_task("paint")
    assert all(name in str(refused.value) for name in TASKS)


def test_a_reference_to_nothing_is_an_error_where_it_is_loaded() -> None:
    with pytest.raises(AttributeError):
        Reference("attnimg.models.registry:Tusk").load()
    with pytest.raises(ModuleNotFoundError):
        Reference("attnimg.no_such_module:Task").load()
