#!/bin/sh
# Make the environment of the emulator of BigQuery: its packages do not go together with ours.
# tests/fixtures/bigquery.py starts it. API2DB_BIGQUERY names another place.
set -eu
cd "$(dirname "$0")/.."

place=${API2DB_BIGQUERY:-.cache/bigquery-venv}
[ "$place/.ready" -nt requirements/bigquery.txt ] && exit 0
python=.venv/bin/python
[ -x "$python" ] || python=python3
echo "set-up: installing an emulator of BigQuery in $place"
if ! { "$python" -m venv --clear "$place" &&
    "$place/bin/python" -m pip --disable-pip-version-check --quiet install \
        --require-hashes -r requirements/bigquery.txt; }; then
    rm -rf "$place"
    echo "set-up: the emulator of BigQuery cannot be installed" >&2
    exit 0
fi
touch "$place/.ready"
