import pytest

from recsys_spark.errors import GateRefusedError
from recsys_spark.evaluation import gate


def metrics(model=0.2, popularity=0.1, is_judged=True, split="time"):
    values = {"attention": model, "popularity": popularity}
    return [
        {
            "split": split,
            "recommender": name,
            "metric": metric,
            "k": k,
            "value": value if metric == "ndcg" and k == 10 else 0.0,
            "is_judged": is_judged,
        }
        for name, value in values.items()
        if value != "absent"
        for metric in ("recall", "ndcg")
        for k in (10, 20)
    ]


def ask(rows, filled_by=("attention", "popularity"), margin=0.0):
    gate.refuse_worse(rows, filled_by, "time", "ndcg", 10, margin)


def test_a_better_or_equal_model_passes():
    ask(metrics(0.2, 0.1))
    ask(metrics(0.1, 0.1))


def test_a_worse_model_is_refused_with_both_values():
    with pytest.raises(
        GateRefusedError, match="attention has ndcg@10 on split time 0.090000, popularity 0.100000"
    ):
        ask(metrics(0.09, 0.1))
    assert GateRefusedError.exit_status == 14


def test_the_margin_is_inclusive():
    ask(metrics(0.25, 0.5), margin=0.25)
    with pytest.raises(GateRefusedError):
        ask(metrics(0.2499, 0.5), margin=0.25)


@pytest.mark.parametrize("value", [float("nan"), None, "absent"])
def test_a_model_without_a_figure_is_refused(value):
    with pytest.raises(GateRefusedError, match="attention has no ndcg@10"):
        ask(metrics(value))


def test_nothing_measured_at_all_refuses_a_model():
    with pytest.raises(GateRefusedError, match="has no ndcg@10"):
        ask([])


def test_another_split_does_not_count():
    with pytest.raises(GateRefusedError, match="has no ndcg@10"):
        ask(metrics(0.9, 0.1, split="live"))


def test_too_few_users_refuse_nothing():
    ask(metrics(0.0, 0.5, is_judged=False))
    ask(metrics("absent", 0.5, is_judged=False))


def test_popularity_alone_always_passes():
    ask(metrics("absent", 0.5), filled_by=("popularity",))
    ask([], filled_by=())


def test_recommenders_name_popularity_last_even_when_it_fills_nothing(spark):
    lists = spark.createDataFrame([("zeta",), ("alpha",), ("zeta",)], "recommender string")
    assert gate.recommenders(lists) == ["alpha", "zeta", "popularity"]
