#!/bin/sh
# Build mysqlclient and MariaDB's connector into .venv, for the long tests. They need a compiler and
# MariaDB's client library; where those cannot be had, the tests of these two drivers are skipped.
set -u
cd "$(dirname "$0")/.."
.venv/bin/python -c 'import MySQLdb, mariadb' 2>/dev/null && exit 0
export DEBIAN_FRONTEND=noninteractive
if ! command -v gcc mariadb_config pkg-config >/dev/null && [ "$(id -u)" = 0 ] &&
    command -v apt-get >/dev/null; then
    echo "set-up: installing a compiler and MariaDB's client library"
    apt-get update -qq || true
    apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends \
        gcc libc6-dev pkg-config libmariadb-dev "$(.venv/bin/python -c 'import sys
print("libpython3-dev" if sys.base_prefix == "/usr" else "pkg-config")')" >/dev/null
fi
.venv/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes \
    -r requirements/drivers.txt || echo "set-up: mysqlclient and mariadb cannot be built here" >&2
exit 0
