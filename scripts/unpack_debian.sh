#!/bin/sh
# unpack_debian.sh NAME SUITE PACKAGE PLACE: unpack a server with all its libraries from another suite of
# Debian, beside the host's: nothing of the host is touched. The tests start it by its own loader.
# Where it cannot be had, that is said, and no error: the last line of the tests says what ran.
set -eu
name=$1 suite=$2 wanted=$3 place=$4
if [ "$(id -u)" != 0 ] || [ "$(dpkg --print-architecture 2>/dev/null)" != amd64 ]; then
    echo "set-up: no $name server here" >&2
    exit 0
fi
echo "set-up: unpacking $name in $place"

# A view of apt of its own: the packages that it takes for installed are none.
apt=$(mktemp -d)
trap 'rm -rf "$apt" "$place.new"' EXIT
mkdir -p "$apt/etc/apt.conf.d" "$apt/etc/preferences.d" "$apt/lists/partial" \
    "$apt/cache/archives/partial" "$apt/log" "$place.new"
: >"$apt/status"
cp /etc/apt/apt.conf.d/* "$apt/etc/apt.conf.d/" 2>/dev/null || true
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(SITE)' "Created-By: Packages" "Codename: $codename" |
    head -n 1)
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keys] $mirror $suite main" >"$apt/etc/sources.list"

get() {
    apt-get -qq -o Dir::Etc="$apt/etc" -o Dir::Etc::sourcelist="$apt/etc/sources.list" \
        -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$apt/lists" \
        -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" \
        -o Dir::Cache::archives="$apt/cache/archives" -o Dir::Log="$apt/log" \
        -o APT::Sandbox::User=root -o Debug::NoLocking=1 "$@"
}

if ! { get update && get -y --no-install-recommends --download-only install "$wanted"; } \
    >"$apt/log/get" 2>&1; then
    echo "set-up: $name cannot be had: $(tail -n 1 "$apt/log/get")" >&2
    exit 0
fi
for package in "$apt"/cache/archives/*.deb; do
    case ${package##*/} in
    perl* | libperl* | debconf* | ucf* | procps* | sensible*) ;;
    *) dpkg-deb -x "$package" "$place.new" ;;
    esac
done
# Only what is whole takes the place.
rm -rf "$place"
mv "$place.new" "$place"
