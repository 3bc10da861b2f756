"""Every benchmark and the trial, at a tiny size, down to the line of JSON that it prints last.

Scripts are found in their folders, so a new one is run without a word here.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nights
import pytest

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).parent.parent / "scripts"
TRIAL = SCRIPTS / "trial"
BENCHMARKS = sorted(SCRIPTS.glob("bench/*.py"))


def last_line(arguments: list[str], folder: Path) -> Any:
    """What a script with these arguments prints last, run in an empty folder."""
    env = {**os.environ, "JDK_JAVA_OPTIONS": nights.SHORT_JOBS, "TMPDIR": str(folder)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return json.loads(done.stdout.splitlines()[-1])


def leaves(value: Any) -> Iterator[Any]:
    """The numbers inside of dictionaries and lists."""
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from leaves(one)
    else:
        yield value


def check(line: Any, name: str) -> None:
    assert sorted(line) == ["figures", "name", "ratios", "settings"]
    assert line["name"] == name
    assert line["ratios"] and all(math.isfinite(value) for value in line["ratios"].values())
    numbers = list(leaves(line["figures"]))
    assert numbers and all(math.isfinite(value) for value in numbers)


def test_there_are_benchmarks() -> None:
    assert len(BENCHMARKS) > 5


@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_runs_to_its_line(script: Path, tmp_path: Path) -> None:
    check(last_line([str(script), "--tiny"], tmp_path), script.stem)


def test_the_trial_runs_to_its_line_and_finds_no_fault(tmp_path: Path) -> None:
    line = last_line([str(TRIAL), "--tiny", "--folder", str(tmp_path / "trial")], tmp_path)
    check(line, "trial")
    assert line["figures"]["faults"] == 0
    assert line["figures"]["judged"]  # a night that trains was among them
