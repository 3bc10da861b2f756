"""The wheel carries jobs and conf inside the package, and the project runs from it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
JOBS = {"ingest", "build_index", "build_features", "train", "recommend", "check", "evaluate", "publish"}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.mark.slow
def test_the_wheel_holds_every_job_and_setting(unpacked: Path) -> None:
    package = unpacked / "recsys_spark"
    assert {path.stem for path in (package / "jobs").glob("*.py")} - {"__init__"} == JOBS
    shipped = {str(path.relative_to(ROOT / "conf")) for path in (ROOT / "conf").rglob("*.*")}
    assert {str(path.relative_to(package / "conf")) for path in (package / "conf").rglob("*.*")} == shipped


@pytest.mark.slow
def test_tests_pass_from_the_wheel(unpacked: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(unpacked)}
    where = [sys.executable, "-c", "import recsys_spark; print(recsys_spark.__file__)"]
    found = subprocess.run(where, env=env, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert found.stdout.startswith(str(unpacked))
    chosen = [
        "tests/test_config.py",
        "tests/sources/test_shipped_mappings.py",
        "tests/transforms/test_index.py",
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen]
    done = subprocess.run(command, env=env, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.slow
def test_a_driver_inside_an_archive_is_told_where_to_start(unpacked: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "recsys_spark"), "zip", unpacked)
    load = [sys.executable, "-c", "from recsys_spark import config; config.load()"]
    done = subprocess.run(
        load,
        env={**os.environ, "PYTHONPATH": archive},
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    [*_, line] = done.stderr.splitlines()
    assert line.startswith("recsys_spark.errors.SettingsError: ")
    assert "without --py-files, and name the archive in the setting spark.py_files" in line
