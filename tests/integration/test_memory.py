"""Streaming takes the same memory however much is streamed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from raybind.data.storage import open_storage
from tests.conftest import PROJECT
from tests.integration.test_faults import write_shards

pytestmark = [pytest.mark.prove, pytest.mark.ray, pytest.mark.slow]

STEPS = 40
TIMES = 20


def test_twenty_times_the_data_in_the_same_memory(tmp_path: Path) -> None:
    write_shards(open_storage(str(tmp_path / "depth")))
    script = str(Path(__file__).with_name("stream_memory.py"))
    env = os.environ | {"PYTHONPATH": f"{PROJECT / 'platform'}:{PROJECT}"}
    peaks = []
    for steps in (STEPS, TIMES * STEPS):
        command = [sys.executable, script, str(tmp_path), str(steps)]
        ended = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
        peaks.append(int(ended.stdout.split()[-1]) / 2**30)
        print(f"{steps} steps: peak {peaks[-1]:.2f} GiB, object store included")
    assert peaks[1] < 1.1 * peaks[0]
