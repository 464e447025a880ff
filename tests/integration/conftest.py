"""The local stack, started once for all integration tests that need S3, MLflow or a Ray head."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class LocalStack:
    """A stack of its own state folder, reached as a user reaches it: through its env.sh."""

    state_dir: Path

    def command(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run `up`, `status` or `down`."""
        return subprocess.run(
            [sys.executable, "-m", "infra.local_stack", name, "--state-dir", str(self.state_dir)],
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
        )

    @property
    def env(self) -> Mapping[str, str]:
        """This process's environment with env.sh sourced: what a subprocess needs to reach the stack."""
        printed = subprocess.check_output(["bash", "-c", f"source '{self.state_dir / 'env.sh'}' && env -0"], text=True)
        return dict(entry.split("=", 1) for entry in printed.split("\0") if entry)

    def leader_pids(self) -> list[int]:
        """Process ids of the services, as `up` noted them."""
        return [service["pid"] for service in json.loads((self.state_dir / "stack.json").read_text())["services"]]

    def submit(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`ray job submit`, which waits for the job's end unless `--no-wait` is among its arguments."""
        return subprocess.run(
            ["ray", "job", "submit", "--log-color=false", *arguments],
            cwd=PROJECT_ROOT,
            env=self.env,
            capture_output=True,
            text=True,
        )


@pytest.fixture
def new_stack(tmp_path: Path) -> Iterator[LocalStack]:
    """A stack that is not started yet, and ended after the test whatever happened."""
    stack = LocalStack(tmp_path / "stack")
    yield stack
    stack.command("down")


@pytest.fixture(scope="session")
def local_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A running stack, shared by the tests: use your own bucket prefix, experiment and run names."""
    stack = LocalStack(tmp_path_factory.mktemp("stack"))
    started = stack.command("up")
    assert started.returncode == 0, started.stdout + started.stderr
    yield stack
    stack.command("down")
