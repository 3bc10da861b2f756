"""Whole nights on one small lake: training on the first, the first night's model on the second."""

from __future__ import annotations

import csv
import datetime as dt
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import nights
import numpy as np
import pytest
from hand_made import save_network
from nights import FIRST, SECOND, THIRD
from pyspark.sql import SparkSession

from recsys_spark import night, tables
from recsys_spark.forms import folder as folders
from recsys_spark.forms import vectors
from recsys_spark.lake import Lake

NO_TRAINING = {"train__enabled": "false"}
NEWER = "newer than the model"  # comes on the second night
UP_TO_FEATURES = ("ingest", "build_index", "build_features")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = nights.write_source(tmp_path_factory.mktemp("source"))
    rows = (f"{NEWER},Drama-{number:03d},{SECOND}T12:00:0{number}Z,4" for number in (5, 6, 7))
    nights.add(folder / "events" / f"{SECOND}.csv", *rows)
    return folder


@pytest.fixture(scope="module")
def lake(spark: SparkSession, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("nights") / "lake"
    for run_date, changes in ((FIRST, {}), (SECOND, NO_TRAINING)):
        outcome = nights.run(spark, nights.settings(root, source, **changes), run_date)
        assert (outcome.job, outcome.exit_status) == ("publish", 0), outcome.message
    return root


@pytest.fixture
def copy(lake: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(lake, tmp_path / "lake"))


def recommended(root: Path, run_date: dt.date) -> dict[str, dict[str, Any]]:
    return {row["user_id"]: row for row in nights.rows(root, tables.RECOMMENDATIONS, run_date)}


def listed_users(source: Path) -> set[str]:
    with (source / "users.csv").open(newline="", encoding="utf-8") as file:
        return {row["user"] for row in csv.DictReader(file)}


def versions(root: Path, run_date: dt.date) -> dict[str, str]:
    return {row["role"]: row["version"] for row in nights.rows(root, tables.MODELS, run_date)}


def ndcg(root: Path, run_date: dt.date, split: str = "time") -> dict[str, float]:
    found = nights.rows(root, tables.METRICS, run_date, split=split, metric="ndcg")
    return {row["recommender"]: row["value"] for row in found}


@pytest.mark.parametrize("run_date", [FIRST, SECOND])
def test_every_active_user_has_exactly_n_distinct_items(lake: Path, source: Path, run_date: dt.date) -> None:
    lists = recommended(lake, run_date)
    newer = {NEWER} if run_date == SECOND else set()
    assert set(lists) == listed_users(source) | {nights.ONE_EVENT} | newer
    for row in lists.values():
        assert [item["rank"] for item in row["items"]] == [1, 2, 3, 4, 5]
        assert len({item["item_id"] for item in row["items"]}) == nights.N
        assert row["reason"] is None


def test_odd_ids_arrive_unchanged_and_one_event_is_enough_for_the_model(lake: Path) -> None:
    lists = recommended(lake, SECOND)
    assert lists[nights.ONE_EVENT]["recommender"] == "self_attention"
    assert {item["source"] for item in lists[nights.ONE_EVENT]["items"]} == {"item_based"}
    assert lists[nights.NO_EVENT]["recommender"] == "popularity"
    assert lists[nights.NO_EVENT]["segment"] == "DE"


def test_a_user_newer_than_the_model_is_encoded_from_history(lake: Path) -> None:
    assert NEWER not in recommended(lake, FIRST)
    row = recommended(lake, SECOND)[NEWER]
    assert (row["recommender"], row["model_version"]) == (
        "self_attention",
        versions(lake, FIRST)["published"],
    )
    assert {item["source"] for item in row["items"]} == {"self_attention"}
    assert {item["item_id"].partition("-")[0] for item in row["items"]} == {"Drama"}  # as in the history


def test_an_item_never_trained_is_never_the_models_choice(lake: Path) -> None:
    assert nights.rows(lake, tables.ITEM_INDEX, item_id=nights.NEVER_SEEN)
    for row in recommended(lake, FIRST).values():
        if row["recommender"] != "popularity":
            assert nights.NEVER_SEEN not in {item["item_id"] for item in row["items"]}
    similar = nights.rows(lake, tables.SIMILAR_ITEMS, FIRST)
    assert nights.NEVER_SEEN not in {item["item_id"] for row in similar for item in row["items"]}


def test_every_record_of_every_file_is_accounted_for(lake: Path, source: Path) -> None:
    files = {
        (row["run_date"], row["table"]): row
        for row in nights.rows(lake, tables.SOURCE_FILES)
    }  # fmt: skip
    assert len(files) == 6
    for row in files.values():
        filtered, quarantined = (sum(dict(row[n]).values()) for n in ("num_filtered", "num_quarantined"))
        assert row["num_parsed"] == row["num_kept"] + filtered + quarantined + row["num_duplicates"]
        with (source / row["file_name"]).open(newline="", encoding="utf-8") as file:
            assert row["num_parsed"] == sum(1 for _ in csv.reader(file)) - 1
    for run_date in (FIRST, SECOND):
        events = files[run_date, "interactions"]
        assert events["num_duplicates"] == 1
        assert sum(dict(events["num_quarantined"]).values()) == 4
        assert events["num_kept"] == len(nights.rows(lake, tables.INTERACTIONS, run_date))
        assert len(nights.rows(lake, tables.QUARANTINE, run_date)) == 4


def test_a_night_without_training_uses_the_newest_model(lake: Path) -> None:
    assert nights.rows(lake, tables.MODELS, SECOND) == []
    used = {row["model_version"] for row in recommended(lake, SECOND).values()}
    assert used == {versions(lake, FIRST)["published"], None}


def test_the_live_lists_are_judged_by_what_happened_since(lake: Path) -> None:
    assert ndcg(lake, FIRST, "live") == {}
    (row,) = nights.rows(lake, tables.METRICS, SECOND, split="live", metric="hit_rate", k=5)
    tonight = {row["user_id"] for row in nights.rows(lake, tables.INTERACTIONS, SECOND)}
    assert row["recommender"] == "live"
    assert 0 < row["num_users"] <= len(tonight)
    assert 0 <= row["value"] <= 1


def test_the_manifest_counts_the_rows_of_the_table(lake: Path) -> None:
    opened = Lake(str(lake))
    for role, cut in (("twin", "valid"), ("published", "night")):
        (row,) = nights.rows(lake, tables.MODELS, FIRST, role=role)
        delivered = json.loads(row["manifest"])["rows_per_epoch"]
        assert delivered == opened.num_rows(tables.SEQUENCE_EXAMPLES, FIRST, cut=cut) > 0


def test_runs_keep_the_lineage_of_every_job(lake: Path) -> None:
    rows = nights.rows(lake, tables.RUNS)
    assert Counter((row["run_date"], row["job"]) for row in rows) == Counter(
        (run_date, job) for run_date in (FIRST, SECOND) for job in night.JOBS
    )
    assert {row["exit_status"] for row in rows} == {0}
    by_job = {row["job"]: row for row in rows if row["run_date"] == SECOND}
    assert set(dict(by_job["publish"]["versions_written"])) == {
        "recommendations", "default_recommendations", "similar_items"
    }  # fmt: skip
    assert (
        dict(by_job["publish"]["versions_read"])["lists"]
        == dict(by_job["recommend"]["versions_written"])["lists"]
    )
    assert by_job["check"]["versions_written"] == []
    assert len({row["attempt"] for row in rows}) == len(rows)


@pytest.mark.slow
def test_an_early_night_run_again_after_a_later_one_leaves_equal_tables(
    spark: SparkSession, source: Path, lake: Path, copy: Path
) -> None:
    assert nights.run(spark, nights.settings(copy, source), FIRST).exit_status == 0
    assert nights.content(copy) == nights.content(lake)
    opened = Lake(str(copy))
    assert len(nights.rows(copy, tables.RUNS)) == 3 * len(night.JOBS)  # it did run
    assert max(opened.dates(tables.RECOMMENDATIONS)) == SECOND


def before_the_cut(root: Path) -> dict[str, Counter[str]]:
    """The rows of cuts valid and test by the ids from outside, and the truth of the validation window."""
    found = {}
    for table in tables.ALL:
        if "cut" not in table.schema.fieldNames():
            continue
        cuts = {"valid"} if table in (tables.TRUTH,) else {"valid", "test"}
        rows = [row for row in nights.rows(root, table, FIRST) if row["cut"] in cuts]
        for row in rows:
            for kind in ("user", "item"):
                if f"{kind}_id" in row:
                    del row[f"{kind}_idx"]
        found[table.name] = Counter(map(repr, rows))
    return found


@pytest.mark.slow
def test_events_after_the_cut_change_nothing_before_it_and_no_weight_of_the_twin(
    spark: SparkSession, source: Path, lake: Path, tmp_path: Path
) -> None:
    changed = Path(shutil.copytree(source, tmp_path / "source"))
    events = changed / "events" / f"{FIRST}.csv"
    lines = events.read_text().splitlines()
    in_test = [number for number, line in enumerate(lines) if f",{FIRST}T" in line]
    assert len(in_test) > 20
    for number in in_test[::3]:
        lines[number] = lines[number][:-1] + "1"  # another rating
    for number in in_test[1::3]:
        user, _, at, stars = lines[number].split(",")
        lines[number] = f"{user},Drama-001,{at},{stars}"  # another film
    events.write_text("\n".join(lines) + "\n")
    nights.add(
        events, f"{nights.NEWCOMER},Drama-002,{FIRST}T12:00:00Z,5", f"u0001,Drama-039,{FIRST}T09:00:00Z,5"
    )
    chosen = nights.settings(tmp_path / "lake", changed)
    assert nights.run(spark, chosen, FIRST, (*UP_TO_FEATURES, "train")).exit_status == 0
    was, now = before_the_cut(lake), before_the_cut(tmp_path / "lake")
    del was["lists"], now["lists"]  # not made here
    assert now == was
    was_model, now_model = versions(lake, FIRST), versions(tmp_path / "lake", FIRST)
    assert now_model["twin"] == was_model["twin"]
    assert now_model["published"] != was_model["published"]


def by_item_id(root: Path) -> dict[str, Counter[str]]:
    """Whatever lists items, told by their ids."""
    names = {row["item_idx"]: row["item_id"] for row in nights.rows(root, tables.ITEM_INDEX)}
    found = {}
    for table in (tables.HISTORIES, tables.TRUTH, tables.SEEN_ITEMS):
        rows = nights.rows(root, table, FIRST)
        for row in rows:
            told = [names.get(item, "") for item in row["items"]]
            row["items"] = sorted(told) if table is tables.SEEN_ITEMS else told
        found[table.name] = Counter(map(repr, rows))
    return found


@pytest.mark.slow
def test_numbering_items_otherwise_changes_no_history_and_no_metric_beyond_noise(
    spark: SparkSession, source: Path, lake: Path, tmp_path: Path
) -> None:
    numbered = nights.rows(lake, tables.ITEM_INDEX)
    numbers = sorted((row["item_idx"] for row in numbered), reverse=True)
    others = [{**row, "item_idx": idx} for row, idx in zip(numbered, numbers, strict=True)]
    renumbered = Lake(str(tmp_path / "lake"))
    renumbered.append_rows(tables.ITEM_INDEX, others)
    jobs = (*UP_TO_FEATURES, "train", "recommend", "evaluate")
    assert nights.run(spark, nights.settings(tmp_path / "lake", source), FIRST, jobs).exit_status == 0
    assert by_item_id(tmp_path / "lake") == by_item_id(lake)
    was, now = ndcg(lake, FIRST), ndcg(tmp_path / "lake", FIRST)
    assert now["popularity"] == pytest.approx(was["popularity"], abs=0.02)
    assert now["self_attention"] == pytest.approx(was["self_attention"], abs=0.1)  # 0.03 is a standard error


def spoil(root: Path, folder: Path, run_date: dt.date, factor: float) -> None:
    """Models of `run_date` that put last what anybody is going to want."""
    opened = Lake(str(root))
    wanted = [item for row in nights.rows(root, tables.TRUTH, run_date, cut="test") for item in row["items"]]
    rows = []
    for row in nights.rows(root, tables.MODELS, FIRST):
        good = opened.get_model(row["version"])
        weights = folders.load_arrays(good / vectors.WEIGHTS)
        item_vectors = np.zeros_like(folders.load_array(good / vectors.ITEM_VECTORS))
        item_vectors[wanted, -1] = -1.0  # the bias
        files = save_network(
            folder / row["role"],
            folders.load_settings(good),
            {name: array * factor for name, array in weights.items()},
            item_vectors,
            folders.load_trained_items(good),
        )
        version = folders.version_of(files)
        opened.put_model(version, folder / row["role"])
        rows.append({**row, "version": version, "files": files, "run_date": run_date})
    opened.write_rows(tables.MODELS, run_date, rows)


def test_a_spoiled_model_is_refused_and_the_lists_of_the_night_before_stay_live(
    spark: SparkSession, source: Path, lake: Path, copy: Path, tmp_path: Path
) -> None:
    opened = Lake(str(copy))
    opened.rollback(tables.RECOMMENDATIONS, FIRST)
    spoil(copy, tmp_path / "spoiled", SECOND, 1.001)
    chosen = nights.settings(copy, source, **NO_TRAINING)
    outcome = nights.run(spark, chosen, SECOND, ("recommend", "check", "evaluate", "publish"))
    assert (outcome.job, outcome.exit_status) == ("publish", 14)
    assert "last night's lists stay live" in str(outcome.message)
    assert opened.dates(tables.RECOMMENDATIONS) == [FIRST]
    outside = (tables.RECOMMENDATIONS,)
    assert nights.content(copy, FIRST, outside) == nights.content(lake, FIRST, outside)
    for table in (tables.DEFAULT_RECOMMENDATIONS, tables.SIMILAR_ITEMS):
        assert nights.content(copy, SECOND, [table]) == nights.content(lake, SECOND, [table])


def test_a_model_file_cut_short_is_one_line_and_the_lists_stay(
    spark: SparkSession, source: Path, copy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(copy, tmp_path / "other", SECOND, 1.002)  # models that no process has loaded yet
    cut_short = []
    for version in versions(copy, SECOND).values():
        cut_short.append(copy / "model_files" / version / vectors.WEIGHTS)
        cut_short[-1].write_bytes(cut_short[-1].read_bytes()[:-100])
    before = nights.content(copy)
    outcome = nights.run(spark, nights.settings(copy, source), SECOND, ["recommend"])
    assert outcome.exit_status == 12, outcome.message
    assert any(str(file) in str(outcome.message) for file in cut_short)
    assert "train again" in str(outcome.message)
    assert [record.exc_info for record in caplog.records if record.levelname == "ERROR"] == [None]
    assert nights.content(copy) == before


def test_popularity_fills_the_lists_when_every_model_is_too_old(
    spark: SparkSession, source: Path, copy: Path
) -> None:
    chosen = nights.settings(copy, source, **NO_TRAINING, recommend__max_model_age_days="0")
    assert nights.run(spark, chosen, SECOND, ("recommend", "check", "publish")).exit_status == 0
    lists = recommended(copy, SECOND).values()
    assert {(row["recommender"], row["model_version"]) for row in lists} == {("popularity", None)}
    assert {len(row["items"]) for row in lists} == {nights.N}


def test_transitions_fill_the_lists_of_a_whole_night_and_the_metrics_tell_what_reranking_changed(
    spark: SparkSession, source: Path, lake: Path, copy: Path
) -> None:
    chosen = nights.settings(copy, source, recommend__recommenders="transitions", rerank__by="diversity")
    jobs = ("train", "recommend", "check", "evaluate", "publish")
    outcome = nights.run(spark, chosen, FIRST, jobs)
    assert (outcome.job, outcome.exit_status) == ("publish", 0), outcome.message
    lists = recommended(copy, FIRST)
    assert set(lists) == set(recommended(lake, FIRST))
    assert {len(row["items"]) for row in lists.values()} == {nights.N}
    by_model = [row for row in lists.values() if row["recommender"] == "transitions"]
    assert len(by_model) >= nights.USERS
    assert {row["model_version"] for row in by_model} == {versions(copy, FIRST)["published"]}
    told = [item["because"] for row in by_model for item in row["items"] if item["source"] == "transitions"]
    assert {len(because) for because in told} == {1, 2}
    assert all(one["score"] >= other["score"] > 0 for one, *others in told for other in [one, *others])
    assert not any(
        item["because"] for row in lists.values() for item in row["items"] if item["source"] == "popularity"
    )
    assert ndcg(copy, FIRST)["transitions"] > ndcg(copy, FIRST)["popularity"] + 0.1
    told = {
        (row["recommender"], row["metric"]): row
        for row in nights.rows(copy, tables.METRICS, FIRST)
        if row["split"] == "time" and row["k"] == nights.N
    }
    after, before = "transitions", "transitions_before_diversity"
    for metric in ("ndcg", "diversity", "coverage"):
        changed = told[f"{after} - {before}", metric]["value"]
        assert changed == told[after, metric]["value"] - told[before, metric]["value"]
    assert told[f"{after} - {before}", "diversity"]["value"] > 0
    assert told[f"{after} - {before}", "ndcg"]["ci_low"] <= told[f"{after} - {before}", "ndcg"]["value"]
    similar = nights.rows(copy, tables.SIMILAR_ITEMS, FIRST)
    assert similar and all(row["item_id"] not in {i["item_id"] for i in row["items"]} for row in similar)


@pytest.mark.slow
def test_nights_out_of_order_with_too_few_users_to_train_are_whole(
    spark: SparkSession, tmp_path: Path
) -> None:
    root, source = tmp_path / "lake", nights.write_source(tmp_path / "source")
    chosen = nights.settings(root, source, train__min_train_users="1000")
    assert nights.run(spark, chosen, FIRST).exit_status == 0
    in_order = Path(shutil.copytree(root, tmp_path / "in-order"))
    assert nights.run(spark, chosen, THIRD).exit_status == 0
    third = nights.content(root, THIRD)
    assert nights.run(spark, chosen, SECOND).exit_status == 0  # the missed one
    opened = Lake(str(root))
    assert opened.dates(tables.RECOMMENDATIONS) == [FIRST, SECOND, THIRD]
    assert nights.content(root, THIRD) == third
    for run_date in (FIRST, SECOND, THIRD):
        lists = recommended(root, run_date)
        assert set(lists) == listed_users(source) | {nights.ONE_EVENT}
        assert {row["recommender"] for row in lists.values()} == {"popularity"}
    assert nights.run(spark, chosen, THIRD).exit_status == 0  # now knows the events of the second
    in_turn = nights.settings(in_order, source, train__min_train_users="1000")
    for run_date in (SECOND, THIRD):
        assert nights.run(spark, in_turn, run_date).exit_status == 0
    for table in (tables.RECOMMENDATIONS, tables.METRICS, tables.INTERACTIONS):
        assert nights.content(root, THIRD, [table]) == nights.content(in_order, THIRD, [table])
