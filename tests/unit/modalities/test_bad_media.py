"""Whatever a file holds, reading it ends soon, in bounded memory, with an array or a DataError that says why."""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from raybind.config.data import PreprocessConfig
from raybind.errors import DataError
from raybind.modalities import get_modality
from tests.unit.modalities.bad_media import MODALITIES, damaged_media, write_bad_media

PROJECT = Path(__file__).resolve().parents[3]
MAX_SECONDS_PER_FILE = 10
MAX_MEMORY_GROWTH_MIB = 256


@pytest.mark.parametrize("count", [60, pytest.param(1_000, marks=pytest.mark.prove)])
def test_every_bad_file_gives_its_cause(count: int, tmp_path: Path) -> None:
    write_bad_media(tmp_path, count, seed=count)
    child = subprocess.run(
        [sys.executable, "-m", "tests.unit.modalities.bad_media", str(tmp_path)],
        cwd=PROJECT,
        env={"PYTHONPATH": f"{PROJECT / 'platform'}:{PROJECT}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60 + 0.5 * count,
    )
    assert child.returncode == 0, child.stderr[-2_000:]
    report = json.loads(child.stdout)
    for modality, outcomes in report["outcomes"].items():
        print(f"{modality}: {sum(outcomes.values())} bad files")
        for outcome, number in sorted(outcomes.items()):
            print(f"  {number:4} x {outcome}")
    print(f"slowest {report['slowest_seconds']:.2f} s; peak memory grew {report['peak_memory_growth_mib']:.0f} MiB")
    assert {modality: sum(outcomes.values()) for modality, outcomes in report["outcomes"].items()} == dict.fromkeys(
        MODALITIES, count
    )
    read = {
        outcome
        for outcomes in report["outcomes"].values()
        for outcome in outcomes
        if outcome.endswith((": READ", ": "))
    }
    assert not read, "these were read, or have no cause"
    assert report["slowest_seconds"] < MAX_SECONDS_PER_FILE
    assert report["peak_memory_growth_mib"] < MAX_MEMORY_GROWTH_MIB


@pytest.mark.parametrize("modality", MODALITIES)
def test_damage_gives_an_array_or_a_cause_and_nothing_else(modality: str) -> None:
    config = PreprocessConfig()
    module = get_modality(modality)
    shape = module.input_shape(56, config)
    for media in damaged_media(modality, count=40, seed=0):
        with suppress(DataError):
            pixel_values = module.transform(media, shape, config)
            assert pixel_values.shape == shape.array
            assert np.isfinite(pixel_values).all()
