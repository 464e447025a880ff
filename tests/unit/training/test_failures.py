"""Failures that a restart would only repeat."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from raybind.config.train import TrainConfig
from raybind.training.failures import EXPLAINED, explained

CONFIG = TrainConfig.model_validate(
    {"run": {"name": "test"}, "data": {"root": "none", "modality": "depth"}, "schedule": {"warmup_steps": 1}}
)


def safetensors() -> None:
    # As it says where a disk is full (0.8); it renames what it has written, so /dev/full cannot make it.
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def plain_file() -> None:
    with Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"0")


@pytest.mark.parametrize("write", [safetensors, plain_file])
def test_a_full_disk_is_named_with_its_remedy(write: Callable[[], None]) -> None:
    with pytest.raises(EXPLAINED) as caught:
        write()
    said = explained(caught.value, CONFIG, rank=1, step=7)
    assert said is not None
    assert said.startswith("rank 1 in step 7 cannot write: ")
    assert "set TMPDIR to a larger disk" in said


def test_memory_is_named_with_the_settings_that_need_less() -> None:
    with pytest.raises(EXPLAINED) as caught:
        torch.empty(1 << 60)
    said = explained(caught.value, CONFIG, rank=0, step=7)
    assert said is not None
    assert "training.grad_accum_steps" in said


def test_what_a_restart_may_mend_is_left_to_it() -> None:
    assert explained(ConnectionResetError("peer"), CONFIG, 0, 7) is None
    assert explained(RuntimeError("Connection closed by peer"), CONFIG, 0, 7) is None
