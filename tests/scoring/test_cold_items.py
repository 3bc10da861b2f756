"""Items that the model was not trained on, ranked by their features among the others."""

import nights
import numpy as np
import pyarrow as pa
import pytest
from hand_made import VECTORS, filled_by, items, listed, model, scores, users
from hand_made import V as NUM_ITEMS

from recsys_spark import tables
from recsys_spark.errors import BadDataError
from recsys_spark.forms import item_tower
from recsys_spark.lake import Lake
from recsys_spark.ranking.warm_and_cold import ColdItems
from recsys_spark.scoring.columns import feature_rows
from recsys_spark.scoring.ranker import ranker
from recsys_spark.scoring.rules import ListSettings, Rules
from recsys_spark.transforms import index

COLD = np.array([10, 11, 20], np.int32)
ROWS = [([2, 3], [2, 3], "", False), ([4, 5, 6], [4, 5, 6, 20], "FR", False), ([7], [7], "", False)]


def both(catalogue, num_items, batch_users=8, **how):
    """The lists where some items are cold, and those of a model that was trained on them."""
    settings = ListSettings(num_items, batch_users, 1, **how)
    cold = ColdItems(COLD, VECTORS[COLD], catalogue.eligible.kind[COLD])
    made = ranker(catalogue, model(untrained=COLD), settings, cold), ranker(catalogue, model(), settings)
    return [one.lists(users(*ROWS)) for one in made]


@pytest.mark.parametrize(
    "how",
    [{}, {"explain": True}, {"item_based_max_events": 2}, {"item_based_max_events": 2, "explain": True}],
)
@pytest.mark.parametrize("num_items", [1, 5, NUM_ITEMS])
def test_the_lists_are_those_of_a_model_that_has_all_the_vectors(num_items, how):
    catalogue = items(
        unavailable=[9], only={11: ["FR"], 12: ["DE"]}, categories={10: ["x"], 13: ["x"]},
        rules=Rules(boosts={"x": 3.0}),
    )  # fmt: skip
    got, expected = both(catalogue, num_items, **how)
    assert listed(got) == listed(expected)
    assert scores(got) == scores(expected)
    assert got["because"].to_pylist() == expected["because"].to_pylist()
    assert got["because_scores"].to_pylist() == expected["because_scores"].to_pylist()
    assert got["reason"].to_pylist() == expected["reason"].to_pylist()


def test_each_place_says_whether_features_decided():
    got, _ = both(items(), NUM_ITEMS - 10, item_based_max_events=1)
    for row, name in enumerate(["attention", "attention", "item_based"]):
        told = [source for source, num in filled_by(got)[row] for _ in range(num)]
        assert told == [f"{name}_by_features" if i in COLD else name for i in listed(got)[row]]
    assert any(len(runs) > 2 for runs in filled_by(got))
    assert got["recommender"].to_pylist() == ["attention"] * 3


def test_caps_count_cold_items_too():
    catalogue = items(categories={item: ["x"] for item in COLD.tolist()}, rules=Rules(max_per_category=1))
    got, expected = both(catalogue, 12)
    assert listed(got) == listed(expected)
    assert all(len(set(row) & set(COLD.tolist())) <= 1 for row in listed(got))


def test_a_list_does_not_depend_on_the_batch():
    catalogue = items()
    settings = ListSettings(6, 8, 1)
    made = ranker(
        catalogue,
        model(untrained=COLD),
        settings,
        ColdItems(COLD, VECTORS[COLD], catalogue.eligible.kind[COLD]),
    )
    alone = [made.lists(users(row)) for row in ROWS]
    assert listed(made.lists(users(*ROWS))) == [listed(one)[0] for one in alone]


@pytest.mark.parametrize("rows", [[[1.0, 2.0], [3.0]], [[1.0, 2.0], None], [[1.0, float("nan")]], []])
def test_features_of_another_number_or_that_are_not_finite_are_refused(rows):
    with pytest.raises(BadDataError, match="expected 2 finite features in each row"):
        feature_rows(pa.chunked_array([pa.array(rows, pa.list_(pa.float32()))]), 2)


# Through the jobs -----------------------------------------------------------------------------------


def test_what_nobody_could_know_before_the_cut_is_left_out(spark):
    def at(text):
        return None if text is None else np.datetime64(text).astype("datetime64[us]").item()

    numbered = [
        ("known", 2, at("2024-03-01T23:59:59"), "2024-03-09"),
        ("later", 3, at("2024-03-02T00:00:00"), "2024-03-09"),
        ("listed", 4, None, "2024-03-01"),
        ("listed later", 5, None, "2024-03-02"),
    ]
    rows = [(name, idx, seen, np.datetime64(day).item()) for name, idx, seen, day in numbered]
    frame = spark.createDataFrame(
        rows, "item_id string, item_idx int, first_seen_at timestamp, run_date date"
    )
    end = at("2024-03-02T00:00:00")
    known = index.known_before(frame, end).orderBy("item_idx").collect()
    assert [row["item_idx"] for row in known] == [2, 4]


@pytest.fixture(scope="module")
def lake(spark, tmp_path_factory):
    """A night whose lists are long enough for an item that nobody saw."""
    folder = tmp_path_factory.mktemp("cold")
    source = nights.write_source(folder / "in", nights=1)
    how = {"recommend__cold_items": "by_features", "recommend__num_items": "60", "recommend__explain": "true"}
    outcome = nights.run(spark, nights.settings(folder / "lake", source, **how), nights.FIRST)
    assert outcome.exit_status == 0, outcome.message
    return folder / "lake", source, how


def places_of(root, item_id, cut="night"):
    """Sources of the places of an item in the lists of a cut."""
    lake = Lake(str(root))
    rows = lake.read_rows(tables.ITEM_FEATURES, nights.FIRST, cut="night").to_pylist()
    [idx] = [row["item_idx"] for row in rows if row["item_id"] == item_id]
    found = []
    for row in lake.read_rows(tables.LISTS, nights.FIRST, cut=cut).to_pylist():
        told = [run["source"] for run in row["filled_by"] for _ in range(run["num_items"])]
        found += [source for item, source in zip(row["items"], told, strict=True) if item == idx]
    return found


@pytest.mark.slow
def test_the_twin_is_not_judged_with_an_item_that_came_after_the_cut(lake):
    assert places_of(lake[0], nights.NEVER_SEEN)
    assert places_of(lake[0], nights.NEVER_SEEN, cut="test") == []


@pytest.mark.slow
def test_an_item_that_nobody_saw_is_listed_by_its_features_and_by_setting_left_out(spark, lake):
    root, source, how = lake
    sources = places_of(root, nights.NEVER_SEEN)
    assert "self_attention_by_features" in sources
    assert set(sources) <= {"self_attention_by_features", "item_based_by_features"}
    assert any(
        item["item_id"] == nights.NEVER_SEEN and item["because"]
        for row in nights.rows(root, tables.RECOMMENDATIONS, nights.FIRST)
        for item in row["items"]
    )
    chosen = nights.settings(root, source, **{**how, "recommend__cold_items": "left_out"})
    assert nights.run(spark, chosen, nights.FIRST, ["recommend", "check"]).exit_status == 0
    assert places_of(root, nights.NEVER_SEEN) == []


@pytest.mark.slow
def test_the_model_keeps_the_columns_of_its_tower(lake):
    for row in nights.rows(lake[0], tables.MODELS, nights.FIRST):
        folder = Lake(str(lake[0])).get_model(row["version"])
        content, rows = item_tower.load(folder)
        assert not any("age_days" in name or "log_popularity" in name for name in content.names)
        assert {len(values) for values in content} == {len(content.names)}
        assert rows.shape == (len(content.names) + 1, 16 + 1)
        assert {item_tower.TOWER, item_tower.CONTENT} <= set(dict(row["files"]))
