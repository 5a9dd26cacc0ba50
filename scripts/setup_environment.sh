#!/bin/sh
# Make .venv: the locked packages, checked by their hashes, and api2db itself as it lies here.
# Run by make when a lock or pyproject.toml is newer than the last time. PYTHON names another Python.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "set-up: $1" >&2
    exit 1
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        if command -v "$name" >/dev/null && new_enough "$name"; then
            command -v "$name"
            return
        fi
    done
    fail "no Python 3.11 or newer here; install one, or name it: make PYTHON=/path/to/python"
}

if ! { [ -x .venv/bin/python ] && new_enough .venv/bin/python &&
    .venv/bin/python -m pip --version >/dev/null 2>&1; }; then
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        # Debian keeps venv in a package of its own, named after the version.
        package=$("$python" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            echo "set-up: installing $package"
            export DEBIAN_FRONTEND=noninteractive
            apt-get update -qq || true
            apt-get install -y -qq --no-install-recommends "$package" >/dev/null ||
                fail "$python has no venv, and $package cannot be installed"
        else
            fail "$python has no venv; install it: apt-get install $package"
        fi
    fi
    echo "set-up: making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi

pip() {
    .venv/bin/python -m pip --disable-pip-version-check --quiet install "$@"
}

echo "set-up: installing the packages of requirements/dev.txt"
pip --require-hashes -r requirements/dev.txt
# The build backend is one of the locked packages, so nothing is fetched for it.
pip --no-deps --no-build-isolation -e .
