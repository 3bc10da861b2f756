"""One worker of a training, a process in which nothing else ever started TensorFlow.

    TF_CONFIG=... python -m recsys_spark.training.worker_process WORK OUTCOME

WORK holds, pickled, what one network is to learn; OUTCOME gets the rows of `night.train`, or its RecsysError.
The process ends at once when its standard input does: whoever started it is gone.
"""

from __future__ import annotations

import logging
import os
import pickle
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from recsys_spark.errors import RecsysError
from recsys_spark.training.lessons import Common, Lesson

if TYPE_CHECKING:
    from recsys_spark.training.cluster import Cluster


class Work(NamedTuple):
    """The training of one network, all of which can be pickled.

    Attributes:
        section: the recommender's own settings.
        lessons: by role.
    """

    name: str
    section: Mapping[str, Any]
    lessons: Mapping[str, Lesson]
    common: Common


def train(work: Work, cluster: Cluster | None = None) -> list[dict[str, Any]]:
    """Rows of MODELS of the chief; starts TensorFlow.

    Args:
        cluster: the workers, each of which makes the same call; None: this process is alone.

    Raises:
        BadDataError, TrainingError: as `by_network.fitting` says.
    """
    from recsys_spark.training import by_network, night
    from recsys_spark.training.cluster import ALONE

    joined, common = cluster or ALONE, work.common
    fit_role = by_network.fitting(work.name, work.section, common, joined)
    keep = common.keep if joined.is_chief else None
    return night.train(work.name, work.lessons, fit_role, common.item_index, keep)


def main(work_file: Path, outcome_file: Path) -> int:
    """Do the work; 0, or the status of the error that stands in the outcome."""
    work: Work = pickle.loads(work_file.read_bytes())
    from recsys_spark.networks.encoder import cap_threads
    from recsys_spark.training import cluster

    outcome: Any
    try:
        cap_threads(work.common.settings.num_threads)
        joined = cluster.join()
        logging.getLogger("recsys_spark").setLevel(logging.INFO if joined.is_chief else logging.WARNING)
        outcome = train(work, joined)
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
