"""A training for tests that kill it: `python killed_training.py FOLDER` ends with its weights in weights.npz.

Each step waits a little and is written down, with a hash of its batch, before it is taken.
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from test_fit import network, run, write

from recsys_spark.training.watch import Watch

EPOCHS = 3


def main() -> None:
    folder = Path(sys.argv[1])
    batches = Watch.batches

    def told(self: Watch, epoch: int, first_step: int) -> Any:
        for step, batch in batches(self, epoch, first_step):
            digest = hashlib.sha256(b"".join(batch[name].numpy().tobytes() for name in sorted(batch)))
            with (folder / "steps.txt").open("a") as file:
                file.write(f"{epoch} {step} {digest.hexdigest()}\n")
            time.sleep(0.02)
            yield step, batch

    Watch.batches = told  # type: ignore[method-assign]
    trained = network()
    run(trained, write(folder / "part-0.parquet"), folder / "checkpoint", epochs=EPOCHS, checkpoint_steps=2)
    np.savez(folder / "weights.npz", *(np.asarray(v) for v in trained.trainable_variables))


if __name__ == "__main__":
    main()
