#!/usr/bin/env bash
# Tests the feed on the oldest packages it supports, in .stack/oldest, and on the newest, in .venv: that one holds
# exactly requirements.lock, so a second copy of it would test nothing more. Repeating it installs nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

oldest=.stack/oldest
if ! cmp -s requirements-oldest.lock "$oldest/.locked"; then
    python=${PYTHON:-python3.11}
    "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || {
        echo "stack: the oldest packages need Python 3.11; name one: make test-stack PYTHON=/path/to/python3.11" >&2
        exit 1
    }
    echo "stack: installing the oldest packages into $oldest (about 2 GB)"
    rm -rf "$oldest"
    "$python" -m venv "$oldest"
    "$oldest/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-oldest.lock
    cp requirements-oldest.lock "$oldest/.locked"
fi

cmp -s requirements.lock .venv/.locked || { echo "stack: .venv is not requirements.lock; run make setup" >&2; exit 1; }
feed=(test_stack.py test_columns.py test_feed.py test_files.py test_petastorm_adapter.py test_row_group_faults.py
    test_row_group_order.py)
for end in oldest newest; do
    python=$([ "$end" = oldest ] && echo "$oldest/bin/python" || echo .venv/bin/python)
    echo "stack: the $end packages"
    STACK=$end PYTHONPATH=$PWD "$python" -m pytest -m "not slow" "${feed[@]/#/tests/training/}"
done
