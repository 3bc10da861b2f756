#!/usr/bin/env bash
# Runs one night, for cron or a scheduler: scripts/nightly.sh --date 2024-01-31 --config my.yaml
# Leaves with the night's exit status; the last line of standard output is the night as JSON.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
launched=$PWD
cd "$here"
. scripts/java.sh
cd "$launched"
[ -x "$here/.venv/bin/recsys-spark" ] || { echo "nightly: no $here/.venv; run \`make setup\` there first" >&2; exit 10; }
exec "$here/.venv/bin/recsys-spark" nightly "$@"
