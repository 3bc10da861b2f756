"""A training killed at random steps ends with the weights of one that was left alone, bit by bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("killed_training.py")
KILLS = 4


def start(folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    path = os.pathsep.join([str(SCRIPT.parent), *(p for p in sys.path if p)])
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder)],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
    )


def steps(folder: Path) -> list[str]:
    path = folder / "steps.txt"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.slow
def test_a_training_killed_at_random_steps_ends_with_the_same_weights(tmp_path: Path) -> None:
    alone = start(tmp_path / "alone")
    _, said = alone.communicate(timeout=120)
    assert alone.returncode == 0, said.decode()[-2000:]
    expected, num_kills = steps(tmp_path / "alone"), 0
    assert len(expected) == 12
    killed = tmp_path / "killed"
    for more in random.Random(7).choices(range(1, 4), k=KILLS):
        seen, process = len(steps(killed)), start(killed)
        while process.poll() is None and len(steps(killed)) < seen + more:
            time.sleep(0.002)
        num_kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
    last = start(killed)
    _, said = last.communicate(timeout=120)
    assert last.returncode == 0, said.decode()[-2000:]
    assert num_kills == KILLS
    taken = dict.fromkeys(
        steps(killed)
    )  # a step after the last checkpoint is taken twice, with the same batch
    assert list(taken) == expected
    assert len(steps(killed)) > len(expected)
    with np.load(tmp_path / "alone" / "weights.npz") as one, np.load(killed / "weights.npz") as other:
        assert one.files == other.files
        assert all(np.array_equal(one[name], other[name]) for name in one.files)
