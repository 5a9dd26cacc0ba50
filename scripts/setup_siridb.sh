#!/bin/sh
# Build SiriDB's client into .venv, and unpack a server beside the host's, whose release may not
# have it; tests/fixtures/siridb.py starts it. API2DB_SIRIDB names another place. The client needs a
# compiler; where it cannot be built, the tests of SiriDB are skipped.
set -u
cd "$(dirname "$0")/.."

if ! .venv/bin/python -c 'import siridb' 2>/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    if ! command -v gcc >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "set-up: installing a compiler for SiriDB's client"
        apt-get update -qq || true
        apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends gcc libc6-dev \
            $(.venv/bin/python -c 'import sys
print("libpython3-dev" if sys.base_prefix == "/usr" else "")') >/dev/null
    fi
    .venv/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes \
        -r requirements/siridb.txt || echo "set-up: SiriDB's client cannot be built here" >&2
fi
place=${API2DB_SIRIDB:-/var/cache/api2db/siridb}
[ -x "$place/usr/lib/siridb-server/siridb-server" ] ||
    sh scripts/unpack_debian.sh SiriDB trixie siridb-server "$place"
