"""The console script: quick in the hand, and its help says what each job reads and writes."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

import pytest

from recsys_spark import night, tables
from recsys_spark.lake import Lake

DAY = dt.date(2024, 3, 1)
SLOW = {"pyspark", "pandas", "numba", "tensorflow", "keras", "petastorm"}  # half a second to import, or more
LISTED = [{"item_id": "the first", "rank": 1, "score": 0.5, "source": "popularity", "because": []}]


def started(*arguments: str) -> tuple[int, str, set[str]]:
    """The command's exit status, what it printed, and the packages it imported."""
    code = """
import atexit, sys
atexit.register(lambda: print("imported", *{name.split(".")[0] for name in sys.modules}, file=sys.stderr))
from recsys_spark.entry import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    *lines, imported = done.stderr.splitlines()
    return done.returncode, done.stdout + "\n".join(lines), set(imported.split())


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--help"], 0, "Jobs, in the order of the night"),
        (["nightly", "--help"], 0, "--submit-each"),
        (["nigthly"], 2, "nightly"),
        (["nightly", "--daet", "2024-03-01"], 2, "--date"),
        (["nightly", "--date", "2024-03-02", "--until", "2024-03-01"], 2, "--until 2024-03-01 is before"),
        (["nightly", "--date", "2024-03-01", "--set", "train.sead=3"], 10, "did you mean train.seed?"),
        (["recommend", "--help"], 0, "--date"),
    ],
)
def test_a_person_waits_for_no_package_of_the_jobs(arguments: list[str], status: int, words: str) -> None:
    left, printed, imported = started(*arguments)
    assert (left, words in printed) == (status, True), printed
    assert "typer" in imported
    assert not imported & SLOW


def test_looking_at_a_list_needs_no_spark(tmp_path: Path) -> None:
    Lake(str(tmp_path)).write_rows(tables.RECOMMENDATIONS, DAY, [{"user_id": "anna", "items": LISTED}])
    status, printed, imported = started("show", "anna", "--set", f"lake.root={tmp_path}")
    assert (status, "the first" in printed) == (0, True), printed
    assert "deltalake" in imported
    assert not imported & SLOW


@pytest.mark.parametrize("job", night.JOBS)
def test_the_help_of_a_job_is_its_docstring(job: str) -> None:
    text = (Path(night.__file__).parent / "jobs" / f"{job}.py").read_text()
    status, printed, _ = started(job.replace("_", "-"), "--help")
    assert status == 0
    first_words = text.removeprefix('"""').split("\n")[0][:60]
    assert first_words in printed
    assert "Writes" in printed or "Reads" in printed


def test_no_job_starts_tensorflow_before_a_network_is_trained_or_scored() -> None:
    jobs = ", ".join(f"recsys_spark.jobs.{job}" for job in night.JOBS)
    code = f"import sys, {jobs}; print(sorted({{'tensorflow', 'keras'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]"]
