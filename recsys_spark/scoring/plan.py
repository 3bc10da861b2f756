"""The plan of a scoring job, made before it starts: partitions, Arrow batches, blocks, and whether memory suffices.

What a worker takes was measured as the peak of its resident memory less the item vectors and their directions,
which the workers of a machine share; a worker that first has to compile its loops comes within a few per cent of it,
one that finds them compiled stays a quarter below.
"""

from __future__ import annotations

import logging
import math
from typing import NamedTuple

from recsys_spark.errors import SettingsError
from recsys_spark.forms.form import Needs
from recsys_spark.python_tasks import ROW_GROUP_BYTES
from recsys_spark.scoring.python_memory import MIB, Room
from recsys_spark.scoring.within_caps import CLOSED_PAIRS

log = logging.getLogger(__name__)

PLACE_BYTES = 14  # of a listed place in Parquet, reasons left out
REASON_BYTES = 11  # of each of its reasons
ARROW_BYTES = 16 * MIB  # of users that one Arrow batch hands to Python
_TASKS_PER_CORE = 3
_TASK_SCORES = 400_000_000  # fewer are not worth a task: a worker that has to start takes as long
_USER_SCORES = 100_000  # as many scores as all else that is done for a user

_PYTHON = 345 * MIB  # interpreter, pyspark, pyarrow, NumPy, and the loops while they are compiled
_ADDRESSES = 1536 * MIB  # reserved and never touched
_WRITING = 2 * ROW_GROUP_BYTES  # rows that wait to be written, and what is written of them
_PLACE, _PAIR, _PAIR_BESIDE_BLOCK = 160, 48, 24  # a place of a pool and a left-out pair in NumPy and Arrow
_REASON = 48  # in NumPy and Arrow
_CLOSED_PAIR = 72  # of an item that a full cap rules out
_POPULAR_ITEM = 16
_HISTORY_COLUMNS, _USER = 5, 80  # lists of 4-byte numbers; ids, segment and offsets


class Work(NamedTuple):
    """What is to be ranked.

    Attributes:
        num_users: who get a list.
        vocabulary: V, items of the catalogue or of the model, whichever are more.
        history_length: L.
        num_left_out: (user, item) pairs that may not be listed, or stand in a bag, of all users.
        max_left_out: of the heaviest user, of tonight or judged.
        num_items: N.
        pool_items: ranked for each user before caps and re-ranking choose N; no fewer.
        num_similar: similar items for each item.
        batch_users: users ranked at a time.
        place_bytes: of a listed place in the output's files.
        num_counts: popularity counts of all segments.
        id_bytes: mean length of an item id.
        num_judged: recommenders whose lists for the gate the same job makes.
        judged_users, judged_left_out: users and pairs of each.
        num_grouped: pairs of an item and a category or seller of which lists may hold so many at most; 0: any number.
        num_reasons: of a listed item.
        num_categories: of the mix that a user's list is calibrated to; 0: it is not.
        models: what each model of the job needs; a worker may load them all, and ranks by one at a time.
    """

    num_users: int
    vocabulary: int
    history_length: int
    num_left_out: int
    max_left_out: int
    num_items: int
    pool_items: int
    num_similar: int
    batch_users: int
    place_bytes: int = PLACE_BYTES
    num_counts: int = 0
    id_bytes: int = 16
    num_judged: int = 0
    judged_users: int = 0
    judged_left_out: int = 0
    num_grouped: int = 0
    num_reasons: int = 0
    num_categories: int = 0
    models: tuple[Needs, ...] = ()


class Plan(NamedTuple):
    """How the job is cut, and what it takes.

    Attributes:
        num_partitions: tasks, and files of lists.
        judged_partitions: tasks of each recommender that is judged.
        arrow_rows, arrow_bytes: an Arrow batch ends at whichever comes first; one user more passes the bytes.
        num_workers: of an executor, that have a task.
        worker_bytes: of one Python worker at its peak, what it shares left out.
        shared_bytes: of the item vectors and their directions, or of item-to-item weights, which the workers of
            a machine share.
    """

    num_partitions: int
    judged_partitions: int
    arrow_rows: int
    arrow_bytes: int
    num_workers: int
    worker_bytes: int
    shared_bytes: int


def planned(work: Work, room: Room, file_bytes: int) -> Plan:
    """Plan the work, log the plan, and refuse what cannot fit.

    Args:
        file_bytes: that a file of lists should have at most.

    Raises:
        SettingsError: the workers of an executor need more memory than it has for Python.
    """
    rows = arrow_rows(work)
    shared = sum(needs.shared for needs in work.models)
    partitions, judged = (
        num_partitions(work._replace(num_users=num), room.num_cores, file_bytes)
        for num in (work.num_users, work.judged_users)
    )
    workers = min(room.num_workers, partitions + judged * work.num_judged)
    plan = Plan(
        partitions, judged, rows, ARROW_BYTES, workers, worker_bytes(work, rows), shared
    )  # fmt: skip
    log.info(
        "plan users=%d items=%d partitions=%d arrow_rows=%d workers=%d "
        "worker_mib=%d shared_mib=%d room_mib=%d",
        work.num_users, work.vocabulary, partitions, rows, workers,
        plan.worker_bytes // MIB, shared // MIB, room.num_bytes // MIB,
    )  # fmt: skip
    _refuse(plan, room, _ADDRESSES + max((needs.reserved for needs in work.models), default=0))
    return plan


def num_partitions(work: Work, num_cores: int, file_bytes: int) -> int:
    """Enough that no file passes its size and each core has three tasks; fewer where a task had little to do."""
    scores = work.num_users * (work.vocabulary + _USER_SCORES)
    worth = min(math.ceil(work.num_users / work.batch_users), math.ceil(scores / _TASK_SCORES))
    written = work.num_users * work.num_items * work.place_bytes
    return max(num_files(written, file_bytes), min(_TASKS_PER_CORE * num_cores, worth))


def num_files(num_bytes: int, file_bytes: int) -> int:
    """Files of which none passes its size; at least one."""
    return max(1, math.ceil(num_bytes / file_bytes))


def arrow_rows(work: Work) -> int:
    """Users in an Arrow batch: as many as its bytes hold on average, in whole batches of users."""
    rows = max(1, ARROW_BYTES // _user_bytes(work, math.ceil(_mean_left_out(work))))
    return rows // work.batch_users * work.batch_users or rows


def worker_bytes(work: Work, rows: int) -> int:
    """Resident memory of a worker at its peak, the mapped files of the models left out.

    What the heaviest user may not get counts in full, that of the others of the batch by its mean.

    Args:
        rows: of an Arrow batch.
    """
    mean_left_out = _mean_left_out(work)
    pairs = min(
        work.num_left_out + work.judged_left_out,
        work.max_left_out + min(rows, work.batch_users) * mean_left_out,
    )
    block = max((needs.ranking for needs in work.models), default=_POPULAR_ITEM * work.vocabulary)
    arrow = 2 * (rows * _user_bytes(work, math.ceil(mean_left_out)) + 4 * work.max_left_out)
    places = num_places(work)
    catalogue = work.vocabulary * (work.id_bytes + 32) + 12 * work.num_counts
    ranking = max(block + _PAIR_BESIDE_BLOCK * pairs, _PAIR * pairs) + arrow + _PLACE * places + catalogue
    if work.num_grouped:
        ranking += _CLOSED_PAIR * max(CLOSED_PAIRS, work.num_grouped)
    ranking += 16 * work.batch_users * work.num_categories + _REASON * places * work.num_reasons
    of_models = [
        max((getattr(needs, name) for needs in work.models), default=0) for name in ("beside", "runtime")
    ]
    return int(_PYTHON + _WRITING + ranking + sum(of_models))


def num_places(work: Work) -> int:
    """Places of the lists that a worker makes at a time, of users or of similar items."""
    return work.batch_users * max(work.pool_items, work.num_similar)


def _mean_left_out(work: Work) -> float:
    """Of a user, of tonight or judged, whichever are more."""
    return max(work.num_left_out / max(1, work.num_users), work.judged_left_out / max(1, work.judged_users))


def _user_bytes(work: Work, num_left_out: int) -> int:
    return 4 * (_HISTORY_COLUMNS * work.history_length + num_left_out) + _USER


def _refuse(plan: Plan, room: Room, addresses: int) -> None:
    shared = plan.shared_bytes * (1 if room.is_shared_once else plan.num_workers)
    needed = plan.num_workers * plan.worker_bytes + shared
    if needed > room.num_bytes:
        raise SettingsError(
            f"recommend: {_workers(plan.num_workers)} of {_gib(plan.worker_bytes)} each and {_gib(shared)} of shared "
            f"model files need {_gib(needed)}, the executor has {_gib(room.num_bytes)} for Python ({room.source}): "
            "lower the cores of an executor (spark.executor.cores; spark.master local[n]) or recommend.batch_users, "
            "or raise the memory"
        )
    reserved = plan.worker_bytes + plan.shared_bytes + addresses
    if room.each is not None and reserved > room.each:
        raise SettingsError(
            f"recommend: a Python worker reserves {_gib(reserved)} of addresses, spark.executor.pyspark.memory allows "
            f"each {_gib(room.each)} (all of it divided by spark.executor.cores): raise it, or unset it and raise "
            "spark.executor.memoryOverhead, which limits what is really used"
        )


def _workers(number: int) -> str:
    return "1 worker" if number == 1 else f"{number} workers"


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / (1 << 30):.2f} GiB"
