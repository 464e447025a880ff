"""The folder platform/ must never stand in for Python's own module of that name."""

import platform
import subprocess
import sys
from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parents[2]
STDLIB_PLATFORM = Path(subprocess.__file__).with_name("platform.py")


def test_platform_is_the_standard_library_module_in_the_tests():
    assert Path(platform.__file__) == STDLIB_PLATFORM
    assert platform.python_version_tuple()[0] == str(sys.version_info.major)


def test_platform_is_the_standard_library_module_where_the_project_root_comes_first_on_the_path():
    code = "import platform; platform.python_version(); print(platform.__file__)"
    printed = subprocess.check_output([sys.executable, "-c", code], cwd=PROJECT_ROOT, text=True)
    assert Path(printed.strip()) == STDLIB_PLATFORM


def test_platform_is_no_package():
    assert not (PROJECT_ROOT / "platform" / "__init__.py").exists()
