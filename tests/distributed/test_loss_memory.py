"""The loss of a batch so large that its similarities alone would take 4 GiB."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT

pytestmark = [pytest.mark.prove, pytest.mark.slow]


def test_the_loss_of_32768_pairs_takes_less_than_a_gibibyte() -> None:
    command = [sys.executable, str(Path(__file__).with_name("loss_memory.py")), "32768"]
    env = os.environ | {"PYTHONPATH": str(PROJECT / "platform")}
    ended = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    peak = int(ended.stdout) / 2**30
    print(f"loss and gradients of 32,768 pairs: {peak:.2f} GiB")
    assert peak < 1
