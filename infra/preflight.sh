#!/bin/sh
# Checks that this machine can install and run the project, and names each thing it lacks with its remedy, before
# anything long starts. Usage: sh infra/preflight.sh [PYTHON]
# Exit code: 0 all there; 1 something is missing.

PYTHON=${1:-python3}
CXX=${CXX:-g++}
MIN_DISK_GB=${RAYBIND_MIN_DISK_GB:-11}    # the environment takes 7.4 GB, and pip keeps 3.1 GB of downloads in its cache
MIN_MEMORY_GB=${RAYBIND_MIN_MEMORY_GB:-7} # the demo takes 7.9 GiB on a machine of 24
missing=0

lacks() { # what, remedy
    printf 'missing: %s\n  remedy: %s\n' "$1" "$2" >&2
    missing=1
}

check_python() {
    if ! command -v "$PYTHON" >/dev/null 2>&1; then
        lacks "Python: no command '$PYTHON'" \
            "install Python 3.11 or newer (Debian, Ubuntu: apt-get install python3 python3-venv python3-dev), or name it: make setup PYTHON=/path/to/python3"
        return
    fi
    version=$("$PYTHON" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
    if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        lacks "Python 3.11 or newer: '$PYTHON' is $version" \
            "install a newer Python and name it: make setup PYTHON=python3.11"
        return
    fi
    if ! "$PYTHON" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        lacks "Python's venv and ensurepip modules: '$PYTHON' has been packaged without them" \
            "Debian, Ubuntu: apt-get install python3-venv"
    fi
    check_compiler
}

check_compiler() {
    if ! command -v "$CXX" >/dev/null 2>&1; then
        lacks "a C++ compiler: no command '$CXX'; DeepSpeed compiles its CPU operators with it" \
            "Debian, Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++; or set CXX to another compiler"
        return
    fi
    if ! echo 'int main() { return 0; }' | "$CXX" -x c++ -fsyntax-only - 2>/dev/null; then
        lacks "a working C++ compiler: '$CXX' does not compile an empty program" \
            "install it anew, or set CXX to another compiler"
        return
    fi
    headers=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    if ! echo '#include <Python.h>' | "$CXX" -I"$headers" -x c++ -fsyntax-only - 2>/dev/null; then
        lacks "Python's C headers: no usable Python.h in $headers; DeepSpeed's operators are compiled against it" \
            "Debian, Ubuntu: apt-get install python3-dev; Fedora: dnf install python3-devel"
    fi
}

check_disk() {
    free_gb=$(df -Pk . | awk 'NR == 2 { print int($4 / 1024 / 1024) }')
    if [ "$free_gb" -lt "$MIN_DISK_GB" ]; then
        lacks "disk: $free_gb GB free at $(pwd), $MIN_DISK_GB GB needed" "free some space, or clone the project on a larger disk"
    fi
}

check_memory() {
    total_gb=$(awk '/^MemTotal:/ { print int($2 / 1024 / 1024 + 0.5) }' /proc/meminfo)
    if [ "$total_gb" -lt "$MIN_MEMORY_GB" ]; then
        lacks "memory: $total_gb GB in all, $MIN_MEMORY_GB GB needed" "use a machine with more memory"
    fi
}

check_python
# An environment that is there already needs no room for a new one.
ls .venv/lib/python3*/site-packages/torch/version.py >/dev/null 2>&1 || check_disk
check_memory
[ "$missing" -eq 0 ] && echo "preflight: Python $version, $CXX, disk and memory are fine."
exit "$missing"
