"""One worker of a training, a process in which nothing else ever started TensorFlow.

    TF_CONFIG=... python -m recsys_spark.training.worker PLAN OUTCOME

PLAN holds, pickled, the arguments of `twins.train`; OUTCOME gets what it returned, or its RecsysError.
The process ends at once when its standard input does: whoever started it is gone.
"""

from __future__ import annotations

import logging
import os
import pickle
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from recsys_spark.errors import RecsysError
from recsys_spark.training.data import Data, Earlier, Keep, Place, Settings, ValidationData


class Plan(NamedTuple):
    """The arguments of `twins.train`, all of which can be pickled."""

    twin: Data
    published: Data
    valid: ValidationData
    item_index: Any
    settings: Settings
    earlier: Earlier | None
    place: Place
    keep: Keep


def main(plan_file: Path, outcome_file: Path) -> int:
    """Train as the plan says; 0, or the status of the error that stands in the outcome."""
    plan: Plan = pickle.loads(plan_file.read_bytes())
    from recsys_spark.models.self_attention import cap_threads
    from recsys_spark.training import cluster, twins

    outcome: Any
    try:
        cap_threads(plan.settings.num_threads)
        joined = cluster.join()
        logging.getLogger("recsys_spark").setLevel(logging.INFO if joined.is_chief else logging.WARNING)
        outcome = twins.train(*plan, joined)
        joined.from_chief(float)  # nobody leaves before all are done
    except RecsysError as error:
        outcome = error
    part = outcome_file.with_suffix(".part")
    part.write_bytes(pickle.dumps(outcome))
    part.replace(outcome_file)
    return outcome.exit_status if isinstance(outcome, RecsysError) else 0


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # not sys.stdin.read, which would lock it while Python shuts down
    os._exit(1)


if __name__ == "__main__":
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.Formatter.converter = time.gmtime
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
