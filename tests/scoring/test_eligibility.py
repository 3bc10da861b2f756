import numpy as np
import pyarrow as pa

from recsys_spark.scoring.eligibility import eligibility

AGES = pa.array([None, 12, 18, 40], pa.int32())


def features(**columns):
    rows = {
        "item_idx": pa.array(range(2, 8), pa.int32()),
        "item_id": [f"i{i}" for i in range(2, 8)],
        "is_available": [True, True, True, True, True, False],
        "categories": pa.array([["a"], ["a", "b"], [], ["c"], None, ["c"]], pa.list_(pa.string())),
        "segments": pa.nulls(6, pa.list_(pa.string())),
        "min_age": pa.nulls(6, pa.int32()),
    }
    return pa.table(rows | columns)


def factors(who, segment, age):
    group = who.groups(pa.array([segment], pa.string()), pa.array([age], pa.int32()))[0]
    return who.factors[group, who.kind].tolist()


def narrowed_by(who, segment, age):
    return who.narrowed_by[who.groups(pa.array([segment], pa.string()), pa.array([age], pa.int32()))[0]]


def test_without_rules_everybody_gets_what_is_available():
    who = eligibility(features(), 8)
    assert factors(who, "de", None) == [0, 0, 1, 1, 1, 1, 1, 0]
    assert who.factors.shape == (1, 2)
    assert narrowed_by(who, "de", None) == ()


def test_an_item_kept_to_segments_goes_to_no_other_user():
    only = pa.array([["de"], ["de", "fr"], [], None, [], []], pa.list_(pa.string()))
    who = eligibility(features(segments=only), 8)
    assert factors(who, "de", None) == [0, 0, 1, 1, 1, 1, 1, 0]
    assert factors(who, "fr", None) == [0, 0, 0, 1, 1, 1, 1, 0]
    for other in ("at", "", None):
        assert factors(who, other, None) == [0, 0, 0, 0, 1, 1, 1, 0]
    by_rule = {segment: narrowed_by(who, segment, None) for segment in ("de", "fr", None)}
    assert by_rule == {"de": (), "fr": ("segments",), None: ("segments",)}


def test_a_minimum_age_needs_a_known_age_that_has_reached_it():
    who = eligibility(features(min_age=pa.array([18, 12, None, 0, None, None], pa.int32())), 8)
    got = {age: factors(who, "", age)[2:7] for age in (None, 11, 12, 17, 18, 99)}
    assert got == {
        None: [0, 0, 1, 1, 1],
        11: [0, 0, 1, 1, 1],
        12: [0, 1, 1, 1, 1],
        17: [0, 1, 1, 1, 1],
        18: [1, 1, 1, 1, 1],
        99: [1, 1, 1, 1, 1],
    }
    by_rule = {age: narrowed_by(who, "", age) for age in (None, 12, 18)}
    assert by_rule == {None: ("min_age",), 12: ("min_age",), 18: ()}


def test_segment_and_age_must_both_fit():
    who = eligibility(
        features(
            segments=pa.array([["de"], ["fr"], [], [], [], []], pa.list_(pa.string())),
            min_age=pa.array([18, None, 18, None, None, None], pa.int32()),
        ),
        8,
    )
    assert factors(who, "de", 18)[2:7] == [1, 0, 1, 1, 1]
    assert factors(who, "de", 17)[2:7] == [0, 0, 0, 1, 1]
    assert factors(who, "fr", None)[2:7] == [0, 1, 0, 1, 1]
    both = who.groups(pa.array(["de", "xx"]), pa.array([18, None], pa.int32()))
    assert both.tolist() == [
        who.groups(pa.array([s]), pa.array([a], pa.int32()))[0] for s, a in (("de", 18), ("xx", None))
    ]


def test_blocked_items_and_categories_go_to_nobody():
    who = eligibility(features(), 8, blocked_items=["i4", "unknown"], blocked_categories=["b", "nothing"])
    assert factors(who, "", None) == [0, 0, 1, 0, 0, 1, 1, 0]
    assert narrowed_by(who, "", None) == ("blocked_items", "blocked_categories")
    assert narrowed_by(eligibility(features(), 8, blocked_items=["unknown"]), "", None) == ()


def test_boosts_of_several_categories_multiply():
    who = eligibility(features(), 8, boosts={"a": 2.0, "b": 3.0, "nothing": 9.0})
    assert factors(who, "", None) == [0, 0, 2, 6, 1, 1, 1, 0]


def test_items_without_a_row_are_eligible_for_nobody():
    who = eligibility(features().slice(1, 2), 6)
    assert factors(who, "", None) == [0, 0, 0, 1, 1, 0]
    assert who.kind.dtype == np.int32


def test_for_a_form_only_what_it_was_trained_on_is_eligible_however_many_items_it_has():
    who = eligibility(features(), 8, boosts={"a": 2.0})
    for num in (5, 8, 11):  # fewer and more items than the catalogue
        is_trained = np.arange(num) >= 3
        of_form = who.of_form(is_trained)
        expected = [who.kind[i] if 3 <= i < 8 else 0 for i in range(num)]
        assert of_form.kind.tolist() == expected
        assert of_form.factors is who.factors
        assert of_form.kind.dtype == np.int32
