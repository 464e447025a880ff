"""The preflight names every missing thing with its remedy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT_ROOT = Path(__file__).resolve().parents[2]


def preflight(cwd: Path, python: str = sys.executable, **settings: str) -> subprocess.CompletedProcess[str]:
    script = PROJECT_ROOT / "infra" / "preflight.sh"
    env = {**os.environ, **settings}
    return subprocess.run(["sh", script, python], cwd=cwd, env=env, capture_output=True, text=True)


def fake_python(folder: Path, version: str, fails_on: str) -> str:
    """A `python3` of another version, or one whose program containing `fails_on` fails."""
    path = folder / "python3"
    path.write_text(f'#!/bin/sh\ncase "$2" in *{fails_on}*) exit 1;; esac\necho {version}\n')
    path.chmod(0o755)
    return str(path)


def test_all_is_well_where_the_tests_run():
    result = preflight(PROJECT_ROOT)
    assert result.returncode == 0, result.stderr
    assert "are fine" in result.stdout


@pytest.mark.parametrize(
    ("settings", "missing", "remedy"),
    [
        ({"CXX": "no-such-compiler"}, "C++ compiler", "apt-get install g++"),
        ({"CXX": "false"}, "does not compile", "install it anew"),
        ({"RAYBIND_MIN_DISK_GB": "999999"}, "999999 GB needed", "free some space"),
        ({"RAYBIND_MIN_MEMORY_GB": "999999"}, "999999 GB needed", "more memory"),
        ({"python": "no-such-python"}, "no command 'no-such-python'", "install Python 3.11"),
    ],
)
def test_what_is_missing_is_named_with_its_remedy(tmp_path: Path, settings: dict[str, str], missing: str, remedy: str):
    result = preflight(tmp_path, **settings)
    assert result.returncode == 1
    assert missing in result.stderr
    assert remedy in result.stderr


def test_an_old_python_is_named_with_its_version(tmp_path: Path):
    result = preflight(tmp_path, python=fake_python(tmp_path, "3.9.2", fails_on="sys.exit"))
    assert result.returncode == 1
    assert "3.9.2" in result.stderr


def test_a_python_without_venv_is_named(tmp_path: Path):
    result = preflight(tmp_path, python=fake_python(tmp_path, "3.11.2", fails_on="ensurepip"))
    assert result.returncode == 1
    assert "apt-get install python3-venv" in result.stderr


def test_several_missing_things_are_named_at_once(tmp_path: Path):
    result = preflight(tmp_path, CXX="no-such-compiler", RAYBIND_MIN_DISK_GB="999999")
    assert result.stderr.count("missing:") == 2
