"""recommend, check, evaluate and publish on a small lake with a real, untrained model."""

import datetime as dt
import importlib

import numpy as np
import pytest
from hand_made import save_network

from recsys_spark import config as settings
from recsys_spark import tables
from recsys_spark.errors import GateRefusedError, RuleBrokenError, TrainingError
from recsys_spark.forms import folder as folders
from recsys_spark.lake import Lake
from recsys_spark.scoring import index_hash

D = dt.date(2024, 5, 31)
L, ITEMS, USERS = 4, range(2, 14), range(2, 12)
OLD = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def job(name):
    return importlib.import_module(f"recsys_spark.jobs.{name}").run


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    options = [
        f"lake.root={tmp_path_factory.mktemp('lake')}",
        "recommend.num_items=3",
        "recommend.num_similar=2",
        "recommend.control_share=0.3",
        "recommend.item_based_max_events=1",
        "evaluate.ks=[2, 3]",
        "publish.k=2",
        "split.min_users=5",
        "evaluate.bootstrap_samples=100",
    ]
    return settings.load(options=options)


def full(table, **values):
    """A row of the table: what is not given is null."""
    return {field.name: values.get(field.name) for field in table.schema}


def write_features(spark, lake, day):
    """Users saw the items numbered like them and the one before; user 2 has no history, item 13 is gone."""
    rows = {t: [] for t in (tables.USER_FEATURES, tables.HISTORIES, tables.SEEN_ITEMS, tables.ITEM_FEATURES,
                            tables.SEGMENT_POPULARITY, tables.TRUTH, tables.BLOCKED_ITEMS)}  # fmt: skip

    def add(table, **values):
        rows[table].append(full(table, run_date=day, **values))

    for cut in ("test", "night"):
        for i in ITEMS:
            add(tables.ITEM_FEATURES, item_idx=i, item_id=f"i{i}", categories=["x", f"c{i % 3}"], is_available=i != 13,
                num_events=i, num_users=i, popularity=100.0 - i, features=[1.0], segments=[], seller=f"s{i // 2}",
                cut=cut)  # fmt: skip
            add(tables.SEGMENT_POPULARITY, segment="", item_idx=i, popularity=100.0 - i, cut=cut)
        for u in USERS:
            add(
                tables.USER_FEATURES,
                user_idx=u,
                user_id=f"u{u}",
                segment="",
                is_active=True,
                num_events=2,
                cut=cut,
            )
            if u > 2:
                add(tables.HISTORIES, user_idx=u, items=[0, 0, u if u > 3 else 0, u + 1], types=[0, 0, 1, 1],
                    values=[0.0] * 4, gaps=[0] * 4, weights=[0.0, 0.0, 1.0, 1.0], num_events=2, cut=cut)  # fmt: skip
                add(tables.SEEN_ITEMS, user_idx=u, items=[u, u + 1], cut=cut)
    for u in USERS:
        add(tables.TRUTH, user_idx=u, items=[2 if u > 4 else 12], cut="test")
    for table, filled in rows.items():
        frame = spark.createDataFrame([tuple(row.values()) for row in filled], table.schema)
        lake.write(spark, table, day, frame.coalesce(1))


def save_model(lake, folder, day, item_index_hash):
    from recsys_spark.models import self_attention
    from recsys_spark.networks.network import Items, weights_of

    shape = self_attention.Settings(max(ITEMS) + 1, L, 7, 8, 1, 1, 0.0, 0)
    counts = np.array([0, 0, *[3] * len(ITEMS)])
    net = self_attention.SelfAttention(shape, Items(counts, np.ones((len(counts), 1), np.float32)), seed=1)
    vectors = net.item_vectors().copy()
    vectors[:, -1] = np.arange(len(vectors))  # spoiled: what is true for nobody comes first
    vectors[12, -1] = -99
    files = save_network(folder, shape._asdict(), weights_of(net), vectors, counts > 0)
    version = folders.version_of(files)
    lake.put_model(version, folder)
    models = [
        full(tables.MODELS, name="self_attention", role=role, form="vectors", split="time", data_end=OLD,
             num_items=len(counts), item_index_hash=item_index_hash, members={}, version=version, files=files,
             state_files={}, manifest="{}", run_date=day)
        for role in ("twin", "published")
    ]  # fmt: skip
    lake.write_rows(tables.MODELS, day, models)


def lake_of(spark, root, model_folder, days=(D,)):
    """A lake in which recommend can start: features of these days, and a model."""
    lake = Lake(str(root))
    for day in days:
        write_features(spark, lake, day)
    for kind, table, numbers in (("user", tables.USER_INDEX, USERS), ("item", tables.ITEM_INDEX, ITEMS)):
        lake.append_rows(table, [full(table, **{f"{kind}_id": f"{kind[0]}{n}", f"{kind}_idx": n}, run_date=D)
                                 for n in numbers])  # fmt: skip
    fingerprint = index_hash.prefix_hash([(i, f"i{i}") for i in ITEMS], max(ITEMS) + 1)
    save_model(lake, model_folder, D, fingerprint)
    return lake


@pytest.fixture(scope="module")
def lake(config, spark, tmp_path_factory):
    lake = lake_of(spark, config.lake.root, tmp_path_factory.mktemp("model"))
    job("recommend")(spark, lake, config, D)
    return lake


def lists(lake, cut):
    return lake.read_rows(tables.LISTS, D, cut=cut).to_pylist()


def test_every_active_user_gets_a_list_from_the_model_or_a_stated_fallback(lake):
    rows = {row["user_id"]: row for row in lists(lake, "night")}
    assert set(rows) == {f"u{u}" for u in USERS}
    assert all(len(row["items"]) == 3 and row["reason"] is None for row in rows.values())
    assert rows["u2"]["recommender"] == "popularity"
    groups = {row["is_control"]: row["recommender"] for u, row in rows.items() if u != "u2"}
    assert groups == {True: "popularity", False: "self_attention"}


def test_the_published_lists_and_the_twins_are_item_based_for_the_same_users(lake):
    sources = {
        (cut, row["user_idx"]): {run["source"] for run in row["filled_by"]}
        for cut in ("test", "night")
        for row in lists(lake, cut)
        if row["recommender"] == "self_attention"
    }
    assert sources["test", 3] == {"item_based"}
    assert all(found == {"item_based"} for (_, u), found in sources.items() if u == 3)
    assert all(found == {"self_attention"} for (_, u), found in sources.items() if u > 3)


def test_a_model_stored_without_an_item_tower_ranks_trained_items_only_and_says_so(
    lake, spark, config, caplog
):
    before = lists(lake, "test") + lists(lake, "night")
    options = ["recommend.num_items=3", "recommend.num_similar=2", "recommend.control_share=0.3",
               "recommend.item_based_max_events=1", "recommend.cold_items=by_features"]  # fmt: skip
    chosen = settings.load(options=[f"lake.root={config.lake.root}", *options])
    with caplog.at_level("INFO"):
        job("recommend")(spark, lake, chosen, D)
    said = [line for line in caplog.messages if "reason=no_item_tower" in line]
    assert len(said) == 2 and all(
        line.startswith("cold_items_left_out model=self_attention") for line in said
    )
    assert lists(lake, "test") + lists(lake, "night") == before


def test_the_judged_lists_are_one_a_recommender_and_user_without_control_group(lake):
    rows = lists(lake, "test")
    assert sorted((row["recommender"], row["user_idx"]) for row in rows) == [
        (name, u) for name in ("popularity", "self_attention") for u in USERS
    ]
    assert not any(row["is_control"] for row in rows)


def test_default_lists_and_similar_items_are_written(lake):
    [everybody] = lake.read_rows(tables.SEGMENT_LISTS, D).to_pylist()
    assert [item["item_id"] for item in everybody["items"]] == ["i2", "i3", "i4"]
    similar = {
        row["item_id"]: [i["item_id"] for i in row["items"]]
        for row in lake.read_rows(tables.ITEM_LISTS, D).to_pylist()
    }
    assert set(similar) == {f"i{i}" for i in ITEMS}
    assert all(len(found) == 2 and own not in found and "i13" not in found for own, found in similar.items())


def test_the_lists_keep_the_rules_and_a_spoiled_one_is_caught(lake, spark, config):
    job("check")(spark, lake, config, D)
    spoiled = settings.load(options=[f"lake.root={config.lake.root}", "recommend.num_items=2"])
    with pytest.raises(RuleBrokenError, match="list_too_long 10"):
        job("check")(spark, lake, spoiled, D)


def test_the_gate_refuses_a_spoiled_model_and_nothing_goes_live(lake, spark, config):
    job("evaluate")(spark, lake, config, D)
    values = {
        row["recommender"]: row["value"]
        for row in lake.read_rows(tables.METRICS, D).to_pylist()
        if row["metric"] == "ndcg" and row["k"] == 2 and row["split"] == "time"
    }
    assert values["self_attention"] < values["popularity"]
    with pytest.raises(GateRefusedError, match="self_attention has ndcg@2"):
        job("publish")(spark, lake, config, D)
    assert lake.dates(tables.RECOMMENDATIONS) == []
    lenient = settings.load(options=[f"lake.root={config.lake.root}", "publish.k=10", "publish.margin=9",
                                     "evaluate.ks=[2, 10]"])  # fmt: skip
    with pytest.raises(GateRefusedError, match="no ndcg@10"):
        job("publish")(spark, lake, lenient, D)
    passing = settings.load(options=[f"lake.root={config.lake.root}", "publish.k=2", "publish.margin=9",
                                     "evaluate.ks=[2]"])  # fmt: skip
    job("publish")(spark, lake, passing, D)
    assert lake.dates(tables.RECOMMENDATIONS) == [D]
    assert lake.read_rows(tables.RECOMMENDATIONS, D).num_rows == len(USERS)
    assert lake.read_rows(tables.SIMILAR_ITEMS, D).num_rows == len(ITEMS)


def test_a_model_of_another_index_is_refused(lake, spark, config):
    rows = lake.read_rows(tables.MODELS, D).to_pylist()
    other = {"num_items": 5, "item_index_hash": "0" * 64}
    lake.write_rows(tables.MODELS, D, [{**row, **other} for row in rows])
    with pytest.raises(TrainingError, match="not a prefix"):
        job("recommend")(spark, lake, config, D)
