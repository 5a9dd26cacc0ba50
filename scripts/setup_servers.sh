#!/bin/sh
# Get the database servers that the tests need. One that cannot be had is no error here: the last
# line of the tests says that it was not tested, and with CI=true that fails.
set -u

find_postgres() {
    for found in /usr/lib/postgresql/*/bin/postgres; do
        [ -x "$found" ] && return 0
    done
    command -v postgres >/dev/null
}

if find_postgres; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "set-up: no PostgreSQL server here; install one: apt-get install postgresql" >&2
    exit 0
fi
echo "set-up: installing PostgreSQL"
export DEBIAN_FRONTEND=noninteractive
# The distribution would start a server of its own; the tests start theirs.
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] ||
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
apt-get update -qq || true
apt-get install -y -qq --no-install-recommends postgresql >/dev/null ||
    echo "set-up: PostgreSQL cannot be installed" >&2
exit 0
