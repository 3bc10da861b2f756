"""Training stops at the best epoch, goes on after a kill, gives equal weights twice, and refuses NaN."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tensorflow.python.summary.summary_iterator import summary_iterator

from recsys_spark.errors import BadDataError, TrainingError
from recsys_spark.models.self_attention import SelfAttention, Settings
from recsys_spark.networks.network import Items
from recsys_spark.tables import DataFile
from recsys_spark.training import checkpoints
from recsys_spark.training.columns import ColumnType
from recsys_spark.training.feed import Feed
from recsys_spark.training.fit import Fitted, Judge, fit
from recsys_spark.training.optimizers import optimizer

V, W = 10, 5
tf.config.experimental.enable_op_determinism()  # as `by_network.fitting` does
IDENTITY = {"data": "1" * 64, "settings": "2" * 64}
SETTINGS = Settings(V, W - 1, 1, 8, 1, 2, 0.3, 0)
COLUMNS = {
    name: ColumnType("float32" if name in ("values", "weights") else "int32", W)
    for name in ("items", "types", "values", "gaps", "weights", "mask")
}


def write(path: Path, weight: float = 1.0) -> Feed:
    rng = np.random.default_rng(0)
    items = 2 + (rng.integers(0, V - 2, (60, 1)) + np.arange(W)) % (V - 2)
    arrays = {
        "items": items,
        "types": items > 0,
        "values": items * 0,
        "gaps": items * 0,
        "mask": np.arange(W) > items * 0,
    }
    arrays["weights"] = np.full(items.shape, weight)
    lists = {
        name: pa.array(
            list(array.astype(COLUMNS[name].dtype)), pa.list_(pa.from_numpy_dtype(COLUMNS[name].dtype))
        )
        for name, array in arrays.items()
    }
    pq.write_table(pa.table(lists), path, row_group_size=20)
    return Feed([DataFile(path.as_uri(), (20, 20, 20))], COLUMNS, batch_size=16, seed=1)


def network() -> SelfAttention:
    return SelfAttention(SETTINGS, Items(np.array([0, 0] + [3] * (V - 2)), np.ones((V, 2), np.float32)), 1)


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Feed:
    return write(tmp_path_factory.mktemp("feed") / "part-0.parquet")


def run(
    net: SelfAttention,
    feed: Feed,
    checkpoint: Path,
    epochs: int = 3,
    scores: list[float] | None = None,
    judge: Judge | None = None,
    checkpoint_steps: int = 0,
    identity: dict[str, str] | None = None,
    log_dir: Path | None = None,
) -> Fitted:
    judge = iter([0.0, *scores]).__next__ if scores else judge
    return fit(
        net,
        feed,
        optimizer("adam", 0.01, net.trainable_variables),
        epochs=epochs,
        seed=1,
        checkpoint=checkpoint,
        identity=identity or IDENTITY,
        checkpoint_steps=checkpoint_steps,
        judge=judge,
        patience=2,
        log_dir=log_dir,
    )


def vectors(net: SelfAttention) -> np.ndarray:
    return net.item_vectors()


def test_two_runs_give_equal_weights_and_a_falling_loss(feed: Feed, tmp_path: Path) -> None:
    one, two = network(), network()
    first, second = run(one, feed, tmp_path / "1"), run(two, feed, tmp_path / "2")
    assert first[:4] == second[:4]
    np.testing.assert_array_equal(vectors(one), vectors(two))
    losses = [entry["loss"] for entry in first.log]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] < math.log(V - 2) + 0.3
    assert first.rows_per_epoch == 60


def test_the_weights_of_the_best_epoch_stay_and_patience_ends_training(feed: Feed, tmp_path: Path) -> None:
    judged, plain = network(), network()
    fitted = run(judged, feed, tmp_path / "1", epochs=9, scores=[0.1, 0.3, 0.3, 0.2, 0.9])
    assert (fitted.epochs, len(fitted.log)) == (2, 4)
    assert run(plain, feed, tmp_path / "2", epochs=2).epochs == 2
    np.testing.assert_array_equal(vectors(judged), vectors(plain))


def test_a_killed_run_goes_on_from_its_last_epoch(feed: Feed, tmp_path: Path) -> None:
    whole, killed, resumed = network(), network(), network()
    expected = run(whole, feed, tmp_path / "1", scores=[0.1, 0.2, 0.3])

    def killing_judge(scores: list[float] = [0.1, 0.0]) -> float:  # noqa: B006
        if not scores:
            raise KeyboardInterrupt
        return scores.pop()

    with pytest.raises(KeyboardInterrupt):
        run(killed, feed, tmp_path / "2", judge=killing_judge)
    scores = iter([0.2, 0.3])
    assert run(resumed, feed, tmp_path / "2", judge=scores.__next__)[:4] == expected[:4]
    np.testing.assert_array_equal(vectors(resumed), vectors(whole))
    assert not list(tmp_path.iterdir())  # a finished training leaves no checkpoint


@pytest.mark.parametrize("steps_done", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 5, 6))])
def test_a_run_killed_inside_an_epoch_sees_the_batches_it_would_have_seen(
    feed: Feed, tmp_path: Path, steps_done: int
) -> None:
    """60 rows in batches of 16: 4 steps an epoch; killed after `steps_done` steps with a checkpoint each."""
    whole, killed, resumed = network(), network(), network()
    expected = run(whole, feed, tmp_path / "1")
    save, saved = checkpoints.save, []

    def killing_save(*args: Any) -> None:
        save(*args)
        saved.append(args)
        if len(saved) == steps_done:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoints, "save", killing_save)
        run(killed, feed, tmp_path / "2", checkpoint_steps=1)
    assert run(resumed, feed, tmp_path / "2", checkpoint_steps=1)[:4] == expected[:4]
    for ours, theirs in zip(resumed.trainable_variables, whole.trainable_variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_checkpoint_of_other_data_is_refused(feed: Feed, tmp_path: Path) -> None:
    checkpoints.save(tmp_path / "1", {"a": np.zeros(3)}, {}, {**IDENTITY, "data": "3" * 64})
    with pytest.raises(
        TrainingError, match=r"other data: data expected 111111111111, got 333333333333; delete it"
    ):
        run(network(), feed, tmp_path / "1")
    assert (tmp_path / "1").exists()


def test_the_speed_and_the_logs_tell_of_every_row(feed: Feed, tmp_path: Path) -> None:
    fitted = run(network(), feed, tmp_path / "1", log_dir=tmp_path / "logs")
    assert fitted.speed.rows_per_second > 0
    assert 0 < fitted.speed.waiting_share < 1
    [events] = (tmp_path / "logs").iterdir()
    found = {value.tag for event in summary_iterator(str(events)) for value in event.summary.value}
    assert found == {"loss", "rows_per_second", "step_milliseconds", "waiting_share"}


def test_a_loss_that_is_not_finite_fails(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="epoch 1 step 0: loss is nan"):
        run(network(), write(tmp_path / "part-0.parquet", weight=float("nan")), tmp_path / "1")


def test_windows_without_a_weight_have_nothing_to_learn(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no event to predict in 60 windows"):
        run(network(), write(tmp_path / "part-0.parquet", weight=0.0), tmp_path / "1")


def test_a_damaged_checkpoint_is_named(feed: Feed, tmp_path: Path) -> None:
    checkpoints.save(tmp_path / "1", {"a": np.zeros(3)}, {}, IDENTITY)
    (tmp_path / "1").write_bytes((tmp_path / "1").read_bytes()[:-2])
    with pytest.raises(BadDataError, match="checkpoint .*delete it and train again"):
        run(network(), feed, tmp_path / "1")
