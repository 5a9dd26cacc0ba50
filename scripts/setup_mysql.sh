#!/bin/sh
# Unpack a genuine MySQL server beside the host's: Debian has it in its unstable suite only, and
# beside MariaDB it cannot be installed. tests/fixtures/mysql.py starts it. API2DB_MYSQL names another
# place.
set -eu
cd "$(dirname "$0")/.."

place=${API2DB_MYSQL:-/var/cache/api2db/mysql}
[ -x "$place/usr/sbin/mysqld" ] && exit 0
case $(basename "$(readlink -f "$(command -v mysqld || echo none)")") in
mysqld*) exit 0 ;;
esac
sh scripts/unpack_debian.sh MySQL sid mysql-server-core "$place"
