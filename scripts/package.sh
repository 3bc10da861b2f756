#!/usr/bin/env bash
# Builds the wheel, and recsys_spark.zip for the setting spark.py_files: the same file under another name, since
# Spark puts archives on its workers' path but no wheels. Both go into dist, or into the folder that is given.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-$here/dist}

mkdir -p "$out"
rm -f "$out"/recsys_spark-*.whl
"$here/.venv/bin/python" -m build --wheel --no-isolation --outdir "$out" "$here" >/dev/null
cp "$out"/recsys_spark-*.whl "$out/recsys_spark.zip"
echo "package: $out/recsys_spark.zip"
