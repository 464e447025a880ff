"""The import rules: downward only, plugs at the edge, and a core that runs on a bare torch machine."""

import os
import subprocess
import sys
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]

IMPORT_CORE = """
import importlib, pkgutil, sys
from importlib.machinery import PathFinder

HIDDEN = {"ray", "mlflow", "deepspeed", "boto3", "botocore"}


class WithoutPlugs(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return None if fullname.partition(".")[0] in HIDDEN else super().find_spec(fullname, path, target)


sys.meta_path[:] = [WithoutPlugs if finder is PathFinder else finder for finder in sys.meta_path]
try:
    import ray
except ModuleNotFoundError:
    pass
else:
    sys.exit("the test does not hide ray")

PACKAGES = "config model objective data modalities training evaluation construction inference"
for package in PACKAGES.split():
    package = importlib.import_module(f"raybind.{package}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
"""


def run_in_checkout(*command: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT / "platform")}
    return subprocess.run(command, cwd=PROJECT_ROOT, env=env, capture_output=True, text=True)


def test_imports_go_downward_and_plugs_stay_at_the_edge():
    linter = Path(sys.executable).with_name("lint-imports")
    result = run_in_checkout(str(linter), "--no-cache", "--no-logo")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_core_imports_where_ray_mlflow_deepspeed_and_boto3_are_not_installed():
    result = run_in_checkout(sys.executable, "-c", IMPORT_CORE)
    assert result.returncode == 0, result.stderr
