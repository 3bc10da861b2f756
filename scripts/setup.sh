#!/usr/bin/env bash
# Sets up this folder alone: a virtual environment with the locked versions and, if the machine has no
# Java 17+, a JDK in .jdk. Changes nothing outside. Repeating it changes nothing either.
set -euo pipefail
cd "$(dirname "$0")/.."

stop() { printf 'setup: %s\n' "$1" >&2; exit 1; }

python=${PYTHON:-python3}
command -v "$python" >/dev/null || stop "no $python; install Python 3.11, 3.12 or 3.13, or name one: make setup PYTHON=/path/to/python3.11"
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' ||
    stop "$("$python" --version) found; Python 3.11, 3.12 or 3.13 is needed: make setup PYTHON=/path/to/python3.11"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    stop "$python cannot make virtual environments; install its venv module (Debian: apt install python3-venv)"

stamp=.venv/.locked
if ! cmp -s requirements.lock "$stamp"; then
    echo "setup: installing the locked packages into .venv (about 2 GB; some minutes the first time)"
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    # Not compiled here: most of these modules are never imported, and Python compiles one when it is.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.lock
    cp requirements.lock "$stamp"
fi
if [ pyproject.toml -nt .venv/.project ]; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
    touch .venv/.project
fi

. scripts/java.sh
if ! has_java; then
    echo "setup: no Java 17+ found; fetching a JDK into .jdk"
    .venv/bin/python -c 'import jdk; jdk.install("17", path=".jdk")' >/dev/null 2>.venv/jdk.log || true
    . scripts/java.sh
    has_java || stop "no Java 17+, and fetching one failed ($(tail -n 1 .venv/jdk.log)); install one (Debian: apt install openjdk-17-jre-headless) or set JAVA_HOME"
fi
