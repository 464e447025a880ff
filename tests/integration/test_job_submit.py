"""`ray job submit --working-dir .`: the submitted tree's package reaches driver and workers, and little is uploaded."""

import json
import platform
from typing import Any

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]

MAX_UPLOAD_BYTES = 20_000_000

LEFT_OUT = (".git/", ".venv/", ".local/", "runs/", "tests/", ".pytest_cache/", ".ruff_cache/", ".hypothesis/")

# Runs in the job's working directory as a job's script does, but is not part of the tree.
PROBE = """
import os, sys
uploaded = {os.path.relpath(os.path.join(folder, name)): os.path.getsize(os.path.join(folder, name))
            for folder, _, names in os.walk(".") for name in names}
sys.path.insert(0, os.path.abspath("jobs"))
import _snapshot
import json, ray
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from raybind.integrations.ray_cluster import connect

def where(_config=None):
    import platform, raybind
    return {"platform": platform.__file__, "version": platform.python_version(), "raybind": raybind.__file__}

class Actor:
    def where(self):
        return where()

connect()
trainer = TorchTrainer(where, scaling_config=ScalingConfig(num_workers=1),
                       run_config=RunConfig(name="probe", storage_path=sys.argv[1]))
processes = {
    "driver": where(),
    "task": ray.get(ray.remote(where).remote()),
    "actor": ray.get(ray.remote(Actor).remote().where.remote()),
    "train worker": trainer.fit().return_value,
}
print("PROBE " + json.dumps({"processes": processes, "uploaded": uploaded}))
"""


@pytest.fixture(scope="module")
def found(local_stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a submitted job saw: the files of its working directory, and the modules in each kind of process."""
    storage = str(tmp_path_factory.mktemp("storage"))
    result = local_stack.submit("--working-dir", ".", "--", "python", "-c", PROBE, storage)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = [line for line in result.stdout.splitlines() if line.startswith("PROBE ")]
    return json.loads(lines[0].removeprefix("PROBE "))


@pytest.mark.parametrize("process", ["driver", "task", "actor", "train worker"])
def test_platform_stays_the_standard_library_module(found, process: str):
    assert found["processes"][process]["platform"] == platform.__file__
    assert found["processes"][process]["version"] == platform.python_version()


@pytest.mark.parametrize("process", ["driver", "task", "actor", "train worker"])
def test_raybind_comes_from_the_submitted_snapshot(found, process: str):
    assert "/runtime_resources/" in found["processes"][process]["raybind"]


def test_the_upload_holds_what_jobs_need_and_little_else(found):
    uploaded = found["uploaded"]
    assert {"platform/raybind/__init__.py", "jobs/_snapshot.py"} <= uploaded.keys()
    assert [path for path in uploaded if path.startswith(LEFT_OUT) or "__pycache__" in path] == []
    assert sum(uploaded.values()) < MAX_UPLOAD_BYTES
