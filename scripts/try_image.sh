#!/bin/sh
# Where no container engine runs: lint the Dockerfile, and run its build stage into a fresh
# folder, each COPY and RUN as it stands there, with the image's paths under that folder.
# HADOLINT names the linter; without one the lint is left out, and said to be.
set -eu
cd "$(dirname "$0")/.."
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

linter=${HADOLINT:-$(command -v hadolint || true)}
if [ -n "$linter" ]; then
    "$linter" Dockerfile
    echo "image: the linter has nothing to say"
else
    echo "image: no hadolint here, the Dockerfile was NOT linted"
fi

mkdir -p "$root/src" "$root/bin"
python=$(command -v "${PYTHON:-python3}")
printf '#!/bin/sh\nexec "%s" "$@"\n' "$(cd "$(dirname "$python")" && pwd)/$(basename "$python")" \
    >"$root/bin/python"
chmod +x "$root/bin/python"
export PATH="$root/bin:$PATH" PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_QUIET=1

# The instructions of the first stage, one a line.
sed -e :a -e '/\\$/N; s/\\\n//; ta' Dockerfile |
    awk '/^FROM/ { stage++ } stage == 1 && ($1 == "COPY" || $1 == "RUN")' |
    while IFS= read -r line; do
        echo "image: $line"
        words=${line#* }
        case $line in
        COPY*)
            # shellcheck disable=SC2086 # the words of COPY are separate
            set -- $words
            for last; do :; done
            while [ $# -gt 1 ]; do
                case $last in */) mkdir -p "$root/src/$last" ;; esac
                cp -R "$1" "$root/src/$last"
                shift
            done
            ;;
        RUN*) (cd "$root/src" && echo "$words" | sed "s#/opt/#$root/opt/#g" | sh -e) ;;
        esac
    done

"$root/opt/api2db/bin/python" -c "import api2db.app.server"
echo "image: NOT built (no container engine here), but its install steps work"
