"""What is counted before scoring starts."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hand_made import V, items
from pyspark.sql import functions as F

from recsys_spark.forms import folder as folders
from recsys_spark.forms import item_item
from recsys_spark.forms.item_item import ItemItem, Weighing
from recsys_spark.ranking.item_item import ItemWeights
from recsys_spark.ranking.warm_and_cold import ColdItems
from recsys_spark.scoring import workload
from recsys_spark.scoring.bases import Basis
from recsys_spark.scoring.plan import PLACE_BYTES, REASON_BYTES
from recsys_spark.scoring.rules import ListSettings, Rerank, Rules
from recsys_spark.scoring.stored_models import StoredModel

D = dt.date(2024, 5, 31)
INTS = "array<int>"
LISTS = f"user_idx int, seen {INTS}, blocked {INTS}, shown {INTS}"
SETTINGS = ListSettings(2, 8, 1, num_similar=5)


@pytest.fixture(scope="module")
def users(spark):
    return spark.createDataFrame([(2, [2], None, None), (3, [2, 3], [], None), (5, None, None, None)], LISTS)


@pytest.fixture(scope="module")
def judged(spark):
    heavy = list(range(2, 50))
    return spark.createDataFrame([(9, heavy, [7], None), (9, None, [7], None)], LISTS)


def counted(users, judged, past=None, now=None, settings=SETTINGS):
    nothing = Basis(items(), None)
    return workload.work(users, judged, past or nothing, now or nothing, settings, 10)


def test_the_work_counts_tonights_users_the_judged_and_the_heaviest_of_both(users, judged):
    work = counted(users, judged)
    assert (work.num_users, work.num_left_out) == (3, 3)
    assert (work.judged_users, work.judged_left_out, work.max_left_out) == (2, 50, 49)
    none = counted(users, judged.limit(0))
    assert (none.judged_users, none.judged_left_out, none.max_left_out) == (0, 0, 2)


def test_the_items_of_bags_count_like_those_that_are_left_out(users, judged):
    bags = F.when(F.col("user_idx") == 3, F.array(*map(F.lit, range(40))))
    with_bags = users.withColumn("bag_items", bags).withColumn("bag_weights", bags)
    no_bags = F.lit(None).cast(INTS)
    others = judged.withColumn("bag_items", no_bags).withColumn("bag_weights", no_bags)
    work = counted(with_bags, others)
    assert (work.num_left_out, work.max_left_out) == (3 + 80, 82)


def test_what_settings_and_the_catalogue_say_is_taken_over(users, judged):
    work = counted(users, judged)
    assert (work.num_items, work.pool_items, work.num_similar, work.history_length) == (2, 2, 5, 10)
    assert (work.vocabulary, work.num_counts, work.num_grouped, work.num_categories) == (V, V - 2, 0, 0)
    assert (work.num_judged, work.models, work.place_bytes) == (1, (), PLACE_BYTES)
    capped = Basis(items(categories={2: ["x"], 3: ["x", "y"]}, rules=Rules(max_per_category=1)), None)
    how = SETTINGS._replace(rerank=Rerank("calibration", 0.5, 9))
    work = counted(users, judged, capped, capped, how)
    assert (work.num_grouped, work.num_categories, work.pool_items) == (3, 2, 9)


@pytest.fixture
def model(tmp_path):
    """Transitions of more items than the catalogue has."""
    num = V + 5
    matrix = ItemWeights(
        np.minimum(np.arange(num + 1), 3), np.array([2, 3, 4], np.int32), np.ones(3, np.float32)
    )
    form = ItemItem(matrix, np.arange(num) >= 2, Weighing("rank", 0.5))
    files = item_item.save(tmp_path, {}, form)
    version = folders.version_of(files)
    return StoredModel("transitions", "item_item", version, D, files, num, "", lambda _: tmp_path)


def test_each_model_is_counted_once_with_what_its_form_needs(users, judged, model):
    work = counted(users, judged, Basis(items(), model), Basis(items(), model))
    assert len(work.models) == 1 and work.models[0].ranking > 17 * V
    assert work.vocabulary == V + 5
    assert work.num_judged == 2
    assert work.place_bytes == PLACE_BYTES + REASON_BYTES  # its reasons cost nothing, so lists hold them


def test_cold_items_are_those_of_both_cuts(users, judged, model, monkeypatch):
    sizes = []
    monkeypatch.setattr(workload.loaded_models, "needs", lambda _, size: sizes.append(size))
    cold = ColdItems(np.array([2, 3], np.int32), np.ones((2, 5), np.float32), np.ones(2, np.int32))
    counted(users, judged, Basis(items(), model, cold), Basis(items(), model, cold))
    assert [(size.num_cold, size.batch_users, size.num_places) for size in sizes] == [(4, 8, 8 * 5)]


def test_ids_are_counted_by_their_mean_length(users, judged):
    catalogue = items()
    assert counted(users, judged).id_bytes == catalogue.item_ids.nbytes // V
    assert pa.types.is_string(catalogue.item_ids.type)
