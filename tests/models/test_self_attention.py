"""The network: where its loss starts, what padding may change, and that it learns what was planted."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hand_made import save_network
from windows import POPULAR, L, V, batch, walks

from recsys_spark.forms import folder as folders
from recsys_spark.forms import vectors
from recsys_spark.models import self_attention
from recsys_spark.models.self_attention import INPUTS, OF_ITEMS, SelfAttention, Settings
from recsys_spark.networks import draws
from recsys_spark.networks.event_inputs import gap_bucket
from recsys_spark.networks.network import Items, assign, weights_of

COUNTS = np.array([0, 0] + [5] * (V - 3) + [0])  # the last item was never trained on
ITEMS = Items(COUNTS, np.random.default_rng(3).normal(size=(V, 4)).astype(np.float32))
SETTINGS = Settings(
    num_items=V,
    history_length=L,
    num_types=2,
    embedding_dim=16,
    num_blocks=2,
    num_heads=2,
    dropout=0.2,
    num_negatives=0,
)


def network(seed: int = 1, **settings: Any) -> SelfAttention:
    return SelfAttention(SETTINGS._replace(**settings), ITEMS, seed)


def save(folder: Path, net: SelfAttention) -> None:
    save_network(folder, net.settings._asdict(), weights_of(net), net.item_vectors(), COUNTS > 0)


def train(net: SelfAttention, windows: dict[str, np.ndarray], steps: int) -> None:
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(net.trainable_variables)

    @tf.function
    def step(key: Any) -> None:
        with tf.GradientTape() as tape:
            losses, weights = net.loss_sums(windows, key)
            loss = losses / weights
        gradients = tape.gradient(loss, net.trainable_variables)
        optimizer.apply([tf.convert_to_tensor(g) for g in gradients], net.trainable_variables)

    for number in range(steps):
        step(draws.key(1, 0, number))


@pytest.fixture(scope="module")
def trained() -> SelfAttention:
    net = network()
    train(net, batch(walks(150)), 200)
    return net


def user_vectors(net: SelfAttention, items: Any) -> np.ndarray:
    rows = {name: batch(items)[name] for name in INPUTS}
    return np.asarray(net.user_vectors(net.item_rows(rows["items"]), rows))


def test_the_loss_starts_at_ln_of_the_trained_items() -> None:
    losses, weights = network().loss_sums(batch(walks(64)))
    assert float(losses / weights) == pytest.approx(math.log(V - 3), abs=0.05)


def test_every_weight_has_a_name_of_its_own() -> None:
    assert len(weights_of(network())) == len(network().trainable_variables) + 2


def test_only_masked_in_targets_count_and_by_their_weight() -> None:
    windows = batch([[3, 4, 5, 6], [0, 0, 7, 8]])
    windows["weights"][0] = [1, 2, 4, 8]
    assert float(network().loss_sums(windows)[1]) == 2 + 4 + 8 + 1
    windows["mask"][0, 2] = 0
    assert float(network().loss_sums(windows)[1]) == 2 + 8 + 1


def test_an_unknown_item_is_never_a_target() -> None:
    assert float(network().loss_sums(batch([[3, 1, 5]]))[1]) == 1


def test_padding_changes_nothing(trained: SelfAttention) -> None:
    short, long = [[5, 6, 7]], [[0, 0, 0, 0, 0, 5, 6, 7]]
    np.testing.assert_allclose(user_vectors(trained, short), user_vectors(trained, long), atol=1e-5)


def test_what_stands_in_a_padded_place_changes_nothing(trained: SelfAttention) -> None:
    clean = {name: batch([[0, 0, 5, 6]])[name] for name in INPUTS}
    dirty = {name: rows.copy() for name, rows in clean.items()}
    dirty["types"][:, :2], dirty["values"][:, :2], dirty["gaps"][:, :2] = 2, np.nan, 99
    x = trained.item_rows(clean["items"])
    np.testing.assert_array_equal(trained.user_vectors(x, clean), trained.user_vectors(x, dirty))


def test_a_later_event_does_not_change_an_earlier_state(trained: SelfAttention) -> None:
    one, other = (
        trained.states(trained.item_rows(rows["items"]), rows)
        for rows in (batch([[5, 6, 7, 8]]), batch([[5, 6, 7, 30]]))
    )
    np.testing.assert_array_equal(one[:, :3], other[:, :3])
    assert not np.allclose(one[:, 3], other[:, 3])


def test_a_missing_value_is_not_the_value_zero(trained: SelfAttention) -> None:
    rows = {name: batch([[5, 6]])[name] for name in INPUTS}
    zero, missing = {**rows, "values": rows["values"] * 0}, {**rows, "values": rows["values"] * np.nan}
    x = trained.item_rows(rows["items"])
    vectors = trained.user_vectors(x, zero), trained.user_vectors(x, missing)
    assert np.isfinite(vectors[1]).all()
    assert not np.allclose(*vectors)


def test_gaps_fall_into_powers_of_two() -> None:
    gaps = tf.constant([0, 1, 3, 4, 2**31 - 1])
    assert gap_bucket(gaps).numpy().tolist() == [0, 1, 2, 3, 32]


def test_it_learns_the_planted_rule_and_not_the_popular_item(trained: SelfAttention) -> None:
    ends = [[i, i + 1] for i in range(3, 39)]
    scores = user_vectors(trained, ends) @ trained.item_vectors().T
    scores[:, COUNTS == 0] = -np.inf
    scores[:, POPULAR] = -np.inf
    assert np.mean(scores.argmax(axis=1) == np.arange(5, 41).clip(max=40)) > 0.8
    assert np.mean((user_vectors(trained, ends) @ trained.item_vectors().T).argmax(axis=1) == POPULAR) < 0.5


def test_an_item_never_trained_on_keeps_its_first_weights(trained: SelfAttention) -> None:
    np.testing.assert_array_equal(trained.item_embedding[V - 1], network().item_embedding[V - 1])


def test_saved_and_loaded_it_gives_the_same_vectors(trained: SelfAttention, tmp_path: Path) -> None:
    save(tmp_path, trained)
    encode = self_attention.encoder(tmp_path, num_threads=1)
    rows = {name: batch([[0, 0, 0, 0, 0, 5, 6, 7], [0] * 7 + [9]])[name] for name in INPUTS}
    expected = trained.user_vectors(trained.item_rows(rows["items"]), rows)
    np.testing.assert_allclose(encode(rows), expected, atol=1e-5)
    many = {name: np.repeat(values, 200, axis=0) for name, values in rows.items()}
    np.testing.assert_array_equal(encode(many)[:200], np.repeat(encode(rows)[:1], 200, axis=0))
    again = network(seed=2)
    assign(again, folders.load_arrays(tmp_path / vectors.WEIGHTS))
    np.testing.assert_array_equal(again.item_vectors(), trained.item_vectors())
    item_vectors = folders.load_array(tmp_path / vectors.ITEM_VECTORS)
    np.testing.assert_array_equal(item_vectors, trained.item_vectors())


def test_an_item_numbered_after_training_counts_as_unknown(trained: SelfAttention, tmp_path: Path) -> None:
    save(tmp_path, trained)
    encode = self_attention.encoder(tmp_path, num_threads=1)
    later, unknown = ({name: batch([[5, 6, item]])[name] for name in INPUTS} for item in (V + 7, 1))
    np.testing.assert_array_equal(encode(later), encode(unknown))


def test_an_encoder_holds_no_array_that_grows_with_the_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, network())
    monkeypatch.setattr(self_attention, "encoding", lambda *parts: parts)
    small, _, item_vectors = self_attention.encoder(tmp_path, 1)
    held = [*small.variables, *small.constants.values(), small.features, small.not_trained]
    assert {np.shape(array) for array in weights_of(network()).values()} & {(V, 16), (V, 4), (V,)}
    assert len(small.variables) > 10 and not [array for array in held if V in np.shape(array)]
    assert isinstance(item_vectors, np.memmap)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_encoding_process_holds_no_item_vectors_of_its_own(tmp_path: Path) -> None:
    num_items, dim = 200_000, SETTINGS.embedding_dim
    both, small = [tmp_path / "small", tmp_path / "large"], weights_of(network())
    for folder, num in zip(both, (V, num_items), strict=True):
        rows = {n: np.zeros((num, *np.shape(small[n])[1:]), small[n].dtype) for n in OF_ITEMS[:2]}
        item_vectors = np.zeros((num, dim + 1), np.float32)
        settings = SETTINGS._replace(num_items=num)._asdict()
        save_network(folder, settings, small | rows, item_vectors, item_vectors[:, 0] > 0)
    script = Path(__file__).with_name("encoder_memory.py")
    printed = subprocess.run(
        [sys.executable, script, *both],
        check=True, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ).stdout  # fmt: skip
    assert int(printed) < num_items * dim * 4 / 2


def test_the_seed_decides_the_first_weights() -> None:
    np.testing.assert_array_equal(network(seed=1).item_vectors(), network(seed=1).item_vectors())
    assert not np.array_equal(network(seed=1).item_vectors(), network(seed=2).item_vectors())


def test_histories_of_another_length_give_the_same_vectors(tmp_path: Path) -> None:
    net = network()
    save(tmp_path, net)
    encode = self_attention.encoder(tmp_path, 1)
    own = {name: values[:, -L:] for name, values in batch([[0, 0, 0, 0, 0, 3, 4, 5]]).items()}
    longer = {name: np.pad(values, ((0, 0), (3, 0))) for name, values in own.items()}
    shorter = {name: values[:, -4:] for name, values in own.items()}
    np.testing.assert_array_equal(encode(longer), encode(own))
    np.testing.assert_array_equal(encode(shorter), encode(own))


def test_mixed_precision_starts_near_the_same_loss_and_learns() -> None:
    windows = batch(walks(64))
    exact = network()
    mixed = SelfAttention(SETTINGS, ITEMS, 1, mixed_precision=True)
    start, expected = (float(losses / weights) for losses, weights in map(loss_of(windows), (mixed, exact)))
    assert start != expected
    assert start == pytest.approx(expected, abs=0.02)
    train(mixed, windows, 100)
    train(exact, windows, 100)
    end, expected = (float(losses / weights) for losses, weights in map(loss_of(windows), (mixed, exact)))
    assert end < start - 1
    assert end == pytest.approx(expected, abs=0.1)


def test_mixed_precision_keeps_weights_losses_and_vectors_in_float32() -> None:
    mixed = SelfAttention(SETTINGS, ITEMS, 1, mixed_precision=True)
    losses, _ = mixed.loss_sums(batch(walks(4)), draws.key(1, 0, 0))
    assert losses.dtype == mixed.item_table().dtype == tf.float32
    assert user_vectors(mixed, [[5, 6]]).dtype == np.float32
    assert {variable.dtype for variable in mixed.trainable_variables} == {"float32"}
    assert mixed.blocks[0].qkv.compute_dtype == "bfloat16"


@pytest.mark.skipif(not tf.config.list_physical_devices("GPU"), reason="TensorFlow sees no GPU")
@pytest.mark.parametrize("mixed_precision", [False, True])
def test_a_gpu_computes_the_loss_of_the_cpu(mixed_precision: bool) -> None:
    windows, sums = batch(walks(64)), []
    for device in ("GPU:0", "CPU:0"):
        with tf.device(device):
            net = SelfAttention(SETTINGS, ITEMS, 1, mixed_precision)
            train(net, windows, 20)
            sums.append(float(net.loss_sums(windows)[0]))
    assert sums[0] == pytest.approx(sums[1], rel=0.02)


def loss_of(windows: dict[str, np.ndarray]) -> Any:
    return lambda net: net.loss_sums(windows)
