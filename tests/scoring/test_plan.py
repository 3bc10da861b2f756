"""Plans worked out by hand, and the memory of a worker against what a real one took."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from one_scoring_worker import write_inputs

from recsys_spark.errors import SettingsError
from recsys_spark.forms import vectors
from recsys_spark.forms.form import Needs, Size
from recsys_spark.forms.vectors import ITEM_VECTORS
from recsys_spark.scoring import plan
from recsys_spark.scoring.plan import Work, planned
from recsys_spark.scoring.python_memory import Room
from recsys_spark.scoring.rules import NO_RULES, Rules

GIB, MIB = 1 << 30, 1 << 20
ROOM = Room(num_workers=2, num_cores=2, num_bytes=16 * GIB, each=None, is_shared_once=True, source="here")
VECTORS = Needs(shared=100_000 * 129 * 4, ranking=1_381_376)  # of 64 dimensions and a bias
WORK = Work(
    num_users=1_000_000, vocabulary=100_000, history_length=50, num_left_out=90_000_000, max_left_out=5_000,
    num_items=20, pool_items=20, num_similar=20, batch_users=256, place_bytes=20, num_counts=100_000, models=(VECTORS,),
)  # fmt: skip
NETWORK = VECTORS._replace(runtime=700 * MIB, reserved=768 * MIB)
FILE = 128 * MIB


def test_files_come_near_their_size_when_there_is_much_to_write():
    work = WORK._replace(num_users=10_000_000, num_items=100, pool_items=100)  # 20 GB
    assert planned(work, ROOM, FILE).num_partitions == 150  # of 133 MB
    assert planned(work, ROOM, 2 * FILE).num_partitions == 75


def test_every_core_has_three_tasks_when_there_are_enough_users():
    assert planned(WORK, ROOM._replace(num_cores=40), FILE).num_partitions == 120


@pytest.mark.parametrize(
    ("users", "vocabulary", "partitions"),
    [
        (0, 100_000, 1),
        (2000, 100_000, 1),  # x (100,000 items + 100,000) = 400 million scores
        (2001, 100_000, 2),
        (99_999, 100_000, 50),
        (6040, 3_700, 2),
        (256, 10_000_000, 1),  # a batch of users is not divided
        (1000, 10_000_000, 4),
        (99_999, 10_000_000, 120),
    ],
)
def test_few_users_make_no_partition_that_has_little_to_do(users, vocabulary, partitions):
    work = WORK._replace(num_users=users, vocabulary=vocabulary, num_left_out=90 * users)
    room = ROOM._replace(num_cores=40, num_bytes=64 * GIB)
    assert planned(work, room, FILE).num_partitions == partitions


def test_an_arrow_batch_holds_whole_batches_of_users_within_its_bytes():
    # 16 MiB / (4 x (5 x 50 + 90) + 80) = 11,650 users, and 45 x 256 = 11,520
    assert planned(WORK, ROOM, FILE).arrow_rows == 11_520


def test_an_arrow_batch_of_long_lists_is_shorter_and_never_empty():
    assert planned(WORK._replace(num_left_out=50_000 * 1_000_000), ROOM, FILE).arrow_rows == 83
    work = WORK._replace(num_users=3, num_left_out=3 * 9_000_000, max_left_out=9_000_000)
    assert planned(work, ROOM, FILE).arrow_rows == 1


def test_the_heaviest_user_is_counted():
    light, heavy = (planned(WORK._replace(max_left_out=n), ROOM, FILE) for n in (5_000, 5_000_000))
    assert heavy.worker_bytes - light.worker_bytes > 5_000_000 * 40


def test_no_more_pairs_are_counted_than_there_are():
    alone = WORK._replace(num_users=1, num_left_out=10**8, max_left_out=10**8)
    twice = alone._replace(num_users=2, num_left_out=2 * 10**8)
    few = alone._replace(num_left_out=0, max_left_out=0)
    made = [plan.worker_bytes(work, 1) for work in (few, alone, twice)]
    assert made[1] - made[0] < 0.7 * (made[2] - made[0])


def test_what_each_model_shares_is_counted_once_for_a_machine_and_in_no_worker():
    one, two, none = (
        planned(WORK._replace(models=models), ROOM, FILE)
        for models in ((VECTORS,), (VECTORS, VECTORS), (VECTORS._replace(shared=0),))
    )
    assert [made.shared_bytes for made in (one, two, none)] == [VECTORS.shared, 2 * VECTORS.shared, 0]
    assert one.worker_bytes == two.worker_bytes == none.worker_bytes


def worker_bytes(*models):
    return planned(WORK._replace(models=models), ROOM, FILE).worker_bytes


def test_a_worker_ranks_by_one_model_at_a_time_and_starts_a_library_once():
    plain, large = VECTORS, VECTORS._replace(ranking=VECTORS.ranking + 17 * MIB)
    assert worker_bytes(large) - worker_bytes(plain) == 17 * MIB
    assert worker_bytes(plain, large) == worker_bytes(large)
    for name in ("beside", "runtime"):
        more = plain._replace(**{name: 500 * MIB})
        assert worker_bytes(more) - worker_bytes(plain) == 500 * MIB
        assert worker_bytes(more, more, plain) == worker_bytes(more)


def test_popularity_alone_is_counted_by_the_items():
    assert worker_bytes(Needs(0, 16 * 100_000)) == worker_bytes()


def test_no_more_workers_are_counted_than_there_are_tasks_of_tonight_and_of_the_judged():
    few, room = WORK._replace(num_users=100, num_left_out=0, max_left_out=0), ROOM._replace(num_workers=16)
    assert planned(few, room, FILE).num_workers == 1
    assert planned(few._replace(num_judged=2), room, FILE).num_workers == 3
    assert planned(WORK, room._replace(num_cores=16), FILE).num_workers == 16


def test_popularity_counts_and_item_ids_lie_in_every_worker():
    none, counts, ids = (
        planned(WORK._replace(num_counts=n, id_bytes=length), ROOM, FILE).worker_bytes
        for n, length in ((0, 16), (10**7, 16), (0, 116))
    )
    assert (counts - none, ids - none) == (12 * 10**7, 100 * 100_000)


def test_full_caps_rule_out_a_million_pairs_at_a_time_or_all_of_one_user():
    for num_grouped, pairs in ((100_000, 1 << 20), (3_000_000, 3_000_000)):
        more = planned(WORK._replace(num_grouped=num_grouped), ROOM, FILE).worker_bytes
        assert more - planned(WORK, ROOM, FILE).worker_bytes == 72 * pairs


def test_the_mix_that_lists_are_calibrated_to_is_counted():
    more = planned(WORK._replace(num_categories=5_000), ROOM, FILE).worker_bytes
    assert more - planned(WORK, ROOM, FILE).worker_bytes == 256 * 5_000 * 16


def test_judged_users_have_tasks_of_their_own_and_the_heaviest_of_them_is_counted():
    few = WORK._replace(num_users=100, num_left_out=0, max_left_out=5_000_000, num_judged=2)
    many = few._replace(judged_users=1_000_000, judged_left_out=90_000_000)
    room = ROOM._replace(num_cores=40, num_workers=40, num_bytes=64 * GIB)
    made = planned(many, room, FILE)
    assert (made.num_partitions, made.judged_partitions, made.num_workers) == (1, 120, 40)
    assert made.worker_bytes - planned(few, room, FILE).worker_bytes > 5_000_000 * 20


def test_the_plan_is_logged_in_one_line(caplog):
    with caplog.at_level("INFO", "recsys_spark"):
        planned(WORK, ROOM, FILE)
    [line] = caplog.messages
    assert line.startswith(
        "plan users=1000000 items=100000 partitions=6 arrow_rows=11520 workers=2 worker_mib="
    )
    assert line.endswith("shared_mib=49 room_mib=16384")


def needs(room, work=WORK):
    made = planned(work, ROOM, FILE)
    return room.num_workers * made.worker_bytes + made.shared_bytes


def test_what_just_fits_is_taken_and_a_byte_less_is_refused_by_the_numbers(caplog):
    room = ROOM._replace(num_workers=3)
    needed = needs(room)
    planned(WORK, room._replace(num_bytes=needed), FILE)
    caplog.clear()
    with caplog.at_level("INFO", "recsys_spark"), pytest.raises(SettingsError) as raised:
        planned(WORK, room._replace(num_bytes=needed - 1), FILE)
    assert str(raised.value) == (
        "recommend: 3 workers of 0.41 GiB each and 0.05 GiB of shared model files need 1.27 GiB, the executor has "
        "1.27 GiB for Python (here): lower the cores of an executor (spark.executor.cores; spark.master local[n]) "
        "or recommend.batch_users, or raise the memory"
    )
    assert len(caplog.messages) == 1  # the plan that does not fit is told all the same


def test_where_shared_files_count_for_each_worker_the_plan_does_so_too():
    room = ROOM._replace(num_bytes=needs(ROOM))
    planned(WORK, room, FILE)
    with pytest.raises(SettingsError, match=r"2 workers of .* and 0\.10 GiB of shared"):
        planned(WORK, room._replace(is_shared_once=False), FILE)


def test_a_limit_on_addresses_that_no_worker_can_keep_is_refused():
    with pytest.raises(SettingsError, match=r"reserves 1\.96 GiB of addresses, .* allows each 1\.00 GiB"):
        planned(WORK, ROOM._replace(each=GIB), FILE)
    planned(WORK, ROOM._replace(each=2 * GIB), FILE)
    with pytest.raises(SettingsError, match=r"reserves 3\.\d\d GiB of addresses"):  # TensorFlow's are more
        planned(WORK._replace(models=(NETWORK,)), ROOM._replace(each=3 * GIB), FILE)


@pytest.mark.parametrize("heaviest", [90, 400_000])
def test_a_worker_takes_no_more_than_the_plan_says_and_not_much_less(tmp_path, heaviest):
    seen = [90] * 512
    seen[300] = heaviest
    # 1.0 when the loops are compiled on the way, 1.3 when an earlier process has compiled them.
    assert 1.0 <= said_to_taken(tmp_path, seen) < 1.4


@pytest.mark.slow
def test_caps_that_nobodys_list_can_meet_take_no_more_than_the_plan_says(tmp_path):
    ratio = said_to_taken(tmp_path, [90] * 64, rules=Rules(max_per_category=1))  # 50 categories, 100 places
    assert 1.0 <= ratio < 1.6


def said_to_taken(tmp_path, seen, rules=NO_RULES):
    vocabulary = 500_000
    write_inputs(tmp_path, vocabulary, 65, 50, seen, rules)
    given = {
        "folder": str(tmp_path),
        "num_items": 100,
        "pool_items": 100,
        "batch_users": 256,
        "num_trained": vocabulary,
    }
    script = Path(__file__).with_name("one_scoring_worker.py")
    done = subprocess.run(
        [sys.executable, str(script), json.dumps(given)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    has_caps = rules.max_per_category > 0
    item_vectors = np.zeros((vocabulary, 65), np.float32)
    np.save(tmp_path / ITEM_VECTORS, item_vectors)
    pool_items = 200 if has_caps else 100
    size = Size(256, pool_items, 256 * pool_items, 50)
    work = Work(
        len(seen), vocabulary, 50, sum(seen), max(seen), 100, pool_items, 20, 256,
        num_counts=vocabulary, num_grouped=vocabulary if has_caps else 0, models=(vectors.needs(tmp_path, size),),
    )  # fmt: skip
    return plan.worker_bytes(work, len(seen)) / int(done.stdout)
