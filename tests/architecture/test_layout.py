"""What lies at the top of the project, and where packages may be."""

import subprocess
from pathlib import Path

import pytest

PROJECT_ROOT = Path(__file__).resolve().parents[2]

TOP_LEVEL = {
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "infra",
    "jobs",
    "platform",
    "pyproject.toml",
    "sweeps",
    "tests",
}


@pytest.fixture(scope="module")
def files() -> list[Path]:
    if not (PROJECT_ROOT / ".git").exists():
        pytest.skip("this tree is not a git checkout, so nothing tells the project's files from others")
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [Path(line) for line in listing.stdout.splitlines()]


def test_the_top_level_holds_only_what_belongs_there(files: list[Path]):
    names = {file.parts[0] for file in files}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


def test_platform_is_a_folder_and_raybind_its_only_package(files: list[Path]):
    assert {file.parts[1] for file in files if file.parts[0] == "platform"} == {"raybind"}


def test_every_folder_of_the_package_is_a_package(files: list[Path]):
    modules = [file for file in files if file.parts[0] == "platform" and file.suffix == ".py"]
    assert {file.parent for file in modules} == {file.parent for file in modules if file.name == "__init__.py"}
