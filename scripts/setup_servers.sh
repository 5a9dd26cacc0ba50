#!/bin/sh
# Get the database servers that the tests need. One that cannot be had is no error here: the last
# line of the tests says that it was not tested, and with CI=true that fails (but for MySQL, which
# few distributions have).
set -u
cd "$(dirname "$0")/.."

export DEBIAN_FRONTEND=noninteractive
refreshed=

# install NAME PACKAGE...
install() {
    name=$1
    shift
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "set-up: no $name server here; install one: apt-get install $*" >&2
        return
    fi
    echo "set-up: installing $name"
    [ -n "$refreshed" ] || apt-get update -qq || true
    refreshed=yes
    apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" >/dev/null ||
        echo "set-up: $name cannot be installed" >&2
}

has() {
    for found in "$@"; do
        [ -x "$found" ] && return 0
    done
    return 1
}

if ! has /usr/lib/postgresql/*/bin/postgres "$(command -v postgres)"; then
    # The distribution would start a server of its own; the tests start theirs.
    if [ "$(id -u)" = 0 ] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        mkdir -p /etc/postgresql-common
        echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
    fi
    install PostgreSQL postgresql
fi
has /usr/sbin/mariadbd "$(command -v mariadbd)" ||
    install MariaDB mariadb-server-core mariadb-client-core
sh scripts/setup_mysql.sh
sh scripts/setup_bigquery.sh
sh scripts/setup_siridb.sh
exit 0
