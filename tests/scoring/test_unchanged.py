"""Lists that users keep from the night before, and those who must not keep theirs."""

import datetime as dt
from collections import Counter
from dataclasses import replace

import nights
import numpy as np
import pytest
from hand_made import V, items
from pyspark.sql import functions as F
from test_list_jobs import USERS, job, lake_of

from recsys_spark import cli, night, tables
from recsys_spark import config as settings
from recsys_spark.errors import SettingsError
from recsys_spark.lake import Lake
from recsys_spark.ranking.warm_and_cold import ColdItems
from recsys_spark.scoring import fingerprint
from recsys_spark.scoring.bases import Basis
from recsys_spark.scoring.rules import ListSettings, Rerank, Rules
from recsys_spark.scoring.stored_models import StoredModel

D = dt.date(2024, 5, 31)
NEXT = D + dt.timedelta(days=1)
BY_POPULARITY = {"u2"}  # has no history; the others' lists are the model's


def config(root, **changes):
    chosen = {
        "lake.root": root,
        "recommend.num_items": 3,
        "recommend.num_similar": 2,
        "recommend.item_based_max_events": 1,
        "recommend.only_changed": "true",
        "recommend.checked_share": 1.0,
        **{name.replace("__", "."): value for name, value in changes.items()},
    }
    return settings.load(options=[f"{name}={value}" for name, value in chosen.items()])


def recommend(spark, root, day, **changes):
    return cli.execute("recommend", job("recommend"), config(root, **changes), day, lambda: spark)


@pytest.fixture(scope="module")
def root(spark, tmp_path_factory):
    """Two nights with the same features, the first one done."""
    root = tmp_path_factory.mktemp("lake")
    lake_of(spark, root, tmp_path_factory.mktemp("model"), (D, NEXT))
    assert recommend(spark, root, D).exit_status == 0
    return root


def change(spark, root, table, day, changed, **where):
    """Rewrite rows of a date: those where these columns hold these values, by `changed`."""
    lake = Lake(str(root))
    rows = lake.read_rows(table, day).to_pylist()
    told = [{**row, **changed(row)} if all(row[n] == v for n, v in where.items()) else row for row in rows]
    frame = spark.createDataFrame([tuple(row.values()) for row in told], table.schema)
    lake.write(spark, table, day, frame.coalesce(1))


def of_night(root, day=NEXT):
    return {
        row["user_id"]: row for row in Lake(str(root)).read_rows(tables.LISTS, day, cut="night").to_pylist()
    }


def ranked(root):
    return {user for user, row in of_night(root).items() if row["ranked_on"] == NEXT}


def told(root):
    """All lists of the second night, whenever they were ranked."""
    rows = (
        Lake(str(root)).read_rows(tables.LISTS, NEXT).drop_columns(["ranked_on", "fingerprint"]).to_pylist()
    )
    return Counter(map(repr, rows))


def test_users_keep_their_lists_and_the_table_is_that_of_ranking_everybody(root, spark, caplog):
    with caplog.at_level("INFO"):  # of so few users all are checked, whatever share was asked for
        assert recommend(spark, root, NEXT, recommend__checked_share=0.01).exit_status == 0
    assert ranked(root) == BY_POPULARITY
    assert f"lists_kept kept={len(USERS) - 1}" in caplog.messages
    assert f"lists_checked checked={len(USERS) - 1}" in caplog.messages
    [plan] = [message for message in caplog.messages if message.startswith("plan ")]
    assert plan.startswith(f"plan users={len(USERS)} ")  # one to rank, the others to check
    kept = told(root)
    assert recommend(spark, root, NEXT, recommend__only_changed="false").exit_status == 0
    assert told(root) == kept
    assert ranked(root) == set(of_night(root))
    assert all(row["fingerprint"] is None for row in of_night(root).values())


@pytest.mark.slow
def test_the_nights_json_says_how_many_lists_were_kept(root, spark):
    chosen = config(root, recommend__checked_share=0.0)

    def runner(name):
        if name != "recommend":
            return cli.Outcome(name, 0, 0.0)
        return cli.execute(name, job(name), chosen, NEXT, lambda: spark)

    result = night.run(chosen, NEXT, runner)
    assert (result["exit_status"], result["active_users"], result["kept_lists"]) == (
        0,
        len(USERS),
        len(USERS) - 1,
    )


def test_only_users_whose_rows_changed_are_ranked_again_and_the_plan_counts_only_them(root, spark, caplog):
    newest = [0, 0, 7, 12]
    with caplog.at_level("INFO"):
        change(spark, root, tables.HISTORIES, NEXT, lambda row: {"items": newest}, user_idx=6, cut="night")
        change(
            spark,
            root,
            tables.SEEN_ITEMS,
            NEXT,
            lambda row: {"items": [2, *row["items"]]},
            user_idx=8,
            cut="night",
        )
        assert recommend(spark, root, NEXT, recommend__checked_share=0.0).exit_status == 0
        change(
            spark, root, tables.HISTORIES, NEXT, lambda row: {"items": [0, 0, 6, 7]}, user_idx=6, cut="night"
        )
        change(
            spark,
            root,
            tables.SEEN_ITEMS,
            NEXT,
            lambda row: {"items": row["items"][1:]},
            user_idx=8,
            cut="night",
        )
    assert ranked(root) == {*BY_POPULARITY, "u6", "u8"}
    assert any(message.startswith("plan users=3 ") for message in caplog.messages)


@pytest.mark.slow
def test_what_all_lists_share_makes_everybody_ranked_again(root, spark):
    assert recommend(spark, root, NEXT, rules__blocked_items="[i3]").exit_status == 0
    assert ranked(root) == set(of_night(root))


def test_a_kept_list_that_ranking_would_not_give_ends_the_job_and_nothing_is_written(root, spark):
    change(spark, root, tables.LISTS, D, lambda row: {"items": row["items"][::-1]}, user_id="u7", cut="night")
    lake = Lake(str(root))
    before = [
        lake.read_rows(table, NEXT) for table in (tables.LISTS, tables.ITEM_LISTS, tables.SEGMENT_LISTS)
    ]
    outcome = recommend(spark, root, NEXT)
    assert outcome.exit_status == 17
    assert outcome.message.startswith(
        f"lists: 1 of {len(USERS) - 1} users whose list was to be kept get another one when they are ranked again, "
        "the first is user_idx 7, ranked on 2024-05-31: "
    )
    after = [lake.read_rows(table, NEXT) for table in (tables.LISTS, tables.ITEM_LISTS, tables.SEGMENT_LISTS)]
    assert after == before
    change(spark, root, tables.LISTS, D, lambda row: {"items": row["items"][::-1]}, user_id="u7", cut="night")


def test_new_items_drawn_every_night_are_refused_since_no_list_could_be_kept(root):
    with pytest.raises(
        SettingsError, match=r"recommend.only_changed would keep no list: rules.num_new_items 1"
    ):
        config(root, rules__num_new_items=1)
    with pytest.raises(SettingsError, match=r"would keep no list: rules.max_nights 1 takes"):
        config(root, rules__max_nights=1)
    config(root, rules__max_nights=2)


# Fingerprints ---------------------------------------------------------------------------------------

ROW = {
    "user_idx": 5, "user_id": "u5", "segment": "FR", "age": 30, "is_control": False,
    "items": [0, 2, 3], "types": [0, 1, 1], "values": [0.0, float("nan"), 4.0], "gaps": [0, 0, 60],
    "weights": [0.0, 1.0, 1.0], "seen": [2, 3], "blocked": None, "shown": [9],
}  # fmt: skip
OTHERS = [
    {"segment": "DE"}, {"segment": ""}, {"age": 31}, {"age": None}, {"is_control": True}, {"items": [0, 3, 2]},
    {"types": [0, 1, 2]}, {"values": [0.0, 0.0, 4.0]}, {"gaps": [0, 60, 0]}, {"weights": [0.0, 1.0, 2.0]},
    {"seen": [2, 3, 9], "shown": []}, {"seen": [2, 3, 9], "shown": None}, {"seen": None, "blocked": [2, 3]},
    {"seen": [2], "blocked": [3]}, {"blocked": []}, {"shown": None}, {"items": None}, {"age": None, "segment": None},
]  # fmt: skip


def fingerprints(spark, rows, model, **how):
    types = ("user_idx int, user_id string, segment string, age int, is_control boolean, items array<int>, "
             "types array<int>, values array<float>, gaps array<int>, weights array<float>, seen array<int>, "
             "blocked array<int>, shown array<int>")  # fmt: skip
    frame = spark.createDataFrame([tuple(row.values()) for row in rows], types)
    if "bag_items" in how:
        for name, values in how.items():
            frame = frame.withColumn(name, F.lit(values))
    of_rows = fingerprint.with_fingerprint(frame, Basis(items(), model), SETTINGS)
    return [row.fingerprint for row in of_rows.collect()]


def test_each_column_and_where_lists_end_are_part_of_the_fingerprint(spark, model):
    rows = [ROW, dict(ROW), *({**ROW, **other} for other in OTHERS)]
    other = replace(model, files={"weights": "cd"})
    prints = [fingerprints(spark, rows, of_model) for of_model in (model, other)]
    assert prints[0][0] == prints[0][1]
    assert len({*prints[0], *prints[1]}) == 2 * (len(rows) - 1)


def test_of_the_history_only_what_the_model_reads_is_part_of_the_fingerprint(spark, model):
    rows = [ROW, *({**ROW, **other} for other in OTHERS)]
    short = fingerprints(spark, rows, replace(model, name="transitions"))
    is_other = {repr(other): one != short[0] for other, one in zip(OTHERS, short[1:], strict=True)}
    unread = [other for other in OTHERS if {"types", "values", "gaps", "weights"} & set(other)]
    assert [other for other in OTHERS if not is_other[repr(other)]] == unread
    assert len(unread) == 4


def test_bags_are_part_of_the_fingerprint_where_the_model_reads_them(spark, model):
    bag = {"bag_items": [2, 3], "bag_weights": [1.0, 2.0]}
    changed = [bag, {**bag, "bag_items": [2, 4]}, {**bag, "bag_weights": [1.0, 3.0]}]
    by_bags = [fingerprints(spark, [ROW], replace(model, name="ease"), **how)[0] for how in changed]
    assert len(set(by_bags)) == 3
    by_history = [fingerprints(spark, [ROW], model, **how)[0] for how in changed]
    assert len(set(by_history)) == 1


SETTINGS = ListSettings(3, 8, 1)


@pytest.fixture
def model(tmp_path):
    np.save(tmp_path / "trained_items.npy", np.arange(V) > 3)
    return StoredModel(
        "self_attention", "vectors", "v1", D, {"weights": "ab"}, V, "", lambda version: tmp_path
    )


def basis(model, settings=SETTINGS, cold=None, **catalogue):
    return fingerprint.basis_hash(Basis(items(**catalogue), model, cold), settings)


def test_the_basis_is_what_the_lists_of_the_model_are_made_of_and_nothing_else(model):
    same = {"categories": {4: ["x"]}, "sellers": {6: "s"}}
    base = basis(model, **same)
    for how in (
        {"num": V + 5, "categories": {4: ["x"], V + 2: ["y"]}},  # an item newer than the model
        {"unavailable": [2]},  # one that the model does not know
        {"popular": range(2, 9)},
        {"categories": {4: ["y"]}},  # nobody asks for the mix
        {"night": 2},
        {"settings": SETTINGS._replace(batch_users=99, num_threads=2)},
    ):
        assert basis(model, **{**same, **how}) == base
    cold = ColdItems(np.array([2], np.int32), np.ones((1, 5), np.float32), np.array([1], np.int32))
    capped, mixed = Rules(max_per_category=1), SETTINGS._replace(rerank=Rerank("diversity", 0.3, 9))
    others = [
        {"unavailable": [4]},
        {"only": {4: ["FR"]}},
        {"min_age": {4: 18}},
        {"rules": Rules(boosts={"x": 2.0})},
        {"rules": Rules(boosts={"x": 3.0})},
        {"rules": capped},
        {"rules": Rules(max_per_category=2)},
        {"rules": Rules(max_per_seller=1)},
        {"rules": capped, "categories": {4: ["x"], 5: ["x"]}},
        {"settings": mixed},
        {"settings": mixed, "categories": {4: ["x"], 5: ["x"]}},
        {"settings": SETTINGS._replace(explain=True)},
        {"cold": cold},
        {"cold": cold._replace(vectors=2 * cold.vectors)},
    ]
    found = [base, *(basis(model, **{**same, **how}) for how in others)]
    assert len(set(found)) == len(found)


def test_the_basis_covers_the_code(model, tmp_path, monkeypatch):
    (tmp_path / "inner").mkdir()
    monkeypatch.setattr(fingerprint.resources, "files", lambda package: tmp_path)
    found = [basis(model)]
    for name in ("one.py", "inner/two.py"):
        for line in ("1\n", "2\n"):
            (tmp_path / name).write_text(line)
            found.append(basis(model))
    (tmp_path / "inner" / "notes.txt").write_text("no code")
    assert basis(model) == found[-1]
    assert len(set(found)) == len(found)


def test_the_basis_covers_every_file_of_the_model(model):
    assert basis(replace(model, files={"weights": "cd"})) != basis(model)


@pytest.mark.slow
def test_nights_that_keep_lists_publish_what_nights_that_rank_everybody_do(spark, tmp_path):
    root, source = tmp_path / "lake", nights.write_source(tmp_path / "source")
    days, published = (nights.FIRST, nights.SECOND, nights.THIRD), {}
    for is_on, jobs in (("true", night.JOBS), ("false", ("recommend", "check", "evaluate", "publish"))):
        for day in days:
            trains = "true" if day == nights.FIRST else "false"
            how = {
                "recommend__only_changed": is_on,
                "recommend__checked_share": "0.5",
                "train__enabled": trains,
            }
            assert nights.run(spark, nights.settings(root, source, **how), day, jobs).exit_status == 0
        published[is_on] = nights.content(root, only=(tables.RECOMMENDATIONS, tables.METRICS))
        ranked_on = [
            {row["ranked_on"] for row in nights.rows(root, tables.LISTS, day, cut="night")} for day in days
        ]
        assert ranked_on == [set(days[: n + 1]) if is_on == "true" else {day} for n, day in enumerate(days)]
    assert published["true"] == published["false"]
