"""The network with sampled or in-batch negatives: what it reads, what is a negative, and that it learns."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hand_made import save_network
from windows import L, V, batch, walks

from recsys_spark.errors import SettingsError
from recsys_spark.forms import folder as folders
from recsys_spark.models import self_attention
from recsys_spark.models.self_attention import INPUTS, SelfAttention, Settings
from recsys_spark.networks import draws, negatives
from recsys_spark.networks.network import Items, weights_of

COUNTS = np.array([0, 0] + [5] * (V - 3) + [0])  # the last item was never trained on
FEATURES = np.random.default_rng(3).normal(size=(V, 4)).astype(np.float32)
SETTINGS = Settings(V, L, 2, 16, num_blocks=1, num_heads=2, dropout=0.0, num_negatives=0)
KINDS = [("uniform", 30), ("popularity", 30), ("in_batch", 0)]
KEY = draws.key(1, 1, 1)


def network(kind: str = "popularity", num: int = 0, counts: Any = COUNTS, **settings: Any) -> SelfAttention:
    shapes = SETTINGS._replace(negatives=kind, num_negatives=num, **settings)
    return SelfAttention(shapes, Items(counts, FEATURES), seed=1)


def gradients(net: SelfAttention, windows: Any, key: Any = KEY) -> dict[str, Any]:
    with tf.GradientTape() as tape:
        losses, _ = net.loss_sums(windows, key)
    found = tape.gradient(losses, net.trainable_variables)
    return {
        v.path.removeprefix("self_attention/"): g for v, g in zip(net.trainable_variables, found, strict=True)
    }


@pytest.mark.parametrize(("kind", "num"), KINDS)
def test_the_loss_starts_at_ln_of_the_trained_items_outside_the_window(kind: str, num: int) -> None:
    windows = batch(walks(64))
    counts = np.bincount(windows["items"][:, 1:].ravel(), minlength=V)
    losses, weights = network(kind, num, counts).loss_sums(windows, KEY)
    num_known = np.mean([len(set(row)) for row in windows["items"]])
    assert float(losses / weights) == pytest.approx(math.log((counts > 0).sum() - num_known + 1), abs=0.15)


@pytest.mark.parametrize(("kind", "num"), KINDS)
def test_a_step_reads_and_updates_only_rows_of_the_item_table(kind: str, num: int) -> None:
    net = network(kind, num)
    found = gradients(net, batch(walks(4)))
    assert all(isinstance(found[name], tf.IndexedSlices) for name in ("item_embedding", "item_bias"))
    graph = tf.function(lambda key: gradients(net, batch(walks(4)), key)).get_concrete_function(KEY).graph
    handles = {variable.value.handle.ref() for variable in (net.item_embedding, net.item_bias)}
    tables = [inner for outer, inner in graph.captures if outer.ref() in handles]
    assert len(tables) == 2
    uses = {op.type for table in tables for op in table.consumers()}
    assert uses - {"VariableShape"} == {"ResourceGather"}  # no ReadVariableOp


def test_full_softmax_reads_the_whole_table() -> None:
    net = network()
    graph = tf.function(lambda: net.loss_sums(batch(walks(4)))).get_concrete_function().graph
    handle = net.item_embedding.value.handle.ref()
    (table,) = (inner for outer, inner in graph.captures if outer.ref() == handle)
    assert {op.type for op in table.consumers()} == {"ReadVariableOp"}


@pytest.mark.parametrize("kind", ["uniform", "popularity"])
def test_the_sampled_partition_is_that_of_all_items_outside_the_window_on_average(kind: str) -> None:
    net = network(kind, 35, COUNTS * np.arange(1, V + 1) ** 2)
    net.item_bias.assign(np.linspace(-1, 1, V))
    windows = batch(walks(16))
    before = {name: windows[name][:, :-1] for name in INPUTS}
    states = np.asarray(net.states(net.item_rows(before["items"]), before))
    scores = np.insert(states, 16, 1, axis=2) @ net.item_vectors().T  # [B, L, V]
    targets = windows["items"][:, 1:, None]
    own = np.take_along_axis(scores, targets, axis=2)
    for row, items in enumerate(windows["items"]):
        scores[row, :, items] = -np.inf
    scores[:, :, COUNTS == 0] = -np.inf
    np.put_along_axis(scores, targets, own, axis=2)
    expected = np.sum(np.log(np.exp(scores).sum(axis=2)) - own[..., 0])
    draw = tf.function(lambda key: net.loss_sums(windows, key)[0])
    losses = [float(draw(draws.key(1, 1, step))) for step in range(40)]
    assert np.mean(losses) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("kind", ["uniform", "popularity"])
def test_an_item_of_the_window_is_no_negative_of_its_targets(kind: str) -> None:
    net, windows = network(kind, V - 4), batch([[3, 4, 5, 6]])
    pull = sum(
        tf.convert_to_tensor(gradients(net, windows, draws.key(1, 1, step))["item_bias"]).numpy()
        for step in range(9)
    )
    assert pull[3] == 0  # never a target, often drawn
    assert (pull[4:7] < 0).all()
    assert (pull[7 : V - 1] > 0).all()
    assert not pull[[0, 1, V - 1]].any()  # padding, unknown, never trained on


def test_an_item_of_the_window_is_no_in_batch_negative_of_its_targets() -> None:
    windows = batch([[3, 4, 5, 6], [4, 3, 8, 9]])
    windows["weights"][1] = 0
    pull = tf.convert_to_tensor(gradients(network("in_batch"), windows)["item_bias"]).numpy()
    assert pull[3] == 0  # a target of the second window
    assert (pull[4:7] < 0).all()
    assert (pull[[8, 9]] > 0).all()
    single = network("in_batch").loss_sums(batch([[3, 4, 5, 6]]), KEY)
    assert (float(single[0]), float(single[1])) == (0, 3)  # nothing to tell them from


def test_targets_of_the_own_window_are_no_draws() -> None:
    losses, weights = network("in_batch").loss_sums(batch([[3, 4, 5, 6], [7, 8, 9, 10]]))
    assert float(losses / weights) == pytest.approx(math.log(1 + V - 3), abs=0.1)  # 3 draws, not 5


@pytest.mark.parametrize(("kind", "num"), KINDS)
def test_training_learns_the_planted_rule(kind: str, num: int) -> None:
    net, windows = network(kind, num), batch(walks(150))
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(net.trainable_variables)

    @tf.function
    def step(key: Any) -> None:
        found = gradients(net, windows, key)
        optimizer.apply([tf.convert_to_tensor(g) / 1000 for g in found.values()], net.trainable_variables)

    for number in range(120):
        step(draws.key(1, 1, number))
    rows = {name: batch([[i, i + 1] for i in range(3, 39)])[name] for name in INPUTS}
    scores = np.asarray(net.user_vectors(net.item_rows(rows["items"]), rows)) @ net.item_vectors().T
    place = (scores > scores[np.arange(36), np.arange(5, 41)][:, None])[:, 3:41].sum(axis=1)
    assert np.mean(place < 5) > 0.6  # 0.13 by chance


def test_known_items_are_found_window_by_window() -> None:
    rng = np.random.default_rng(0)
    windows, items = rng.integers(0, 30, (20, 7)), rng.integers(0, 40, 50)
    expected = (windows[:, :, None] == items).any(axis=1)
    np.testing.assert_array_equal(negatives.is_known(windows, items), expected)


def test_two_workers_that_gather_their_vectors_sum_to_one_with_both_batches() -> None:
    net, rows = network("in_batch"), walks(5)
    rows[0, :6] = 0  # the workers have unlike numbers of targets
    parts = [batch(rows[:2]), batch(rows[2:])]
    own: list[tuple[Any, Any]] = []
    for part in parts:
        net.loss_sums(part, KEY, lambda vectors, items: own.append((vectors, items)) or (vectors, items, 0))
    num_first = len(own[0][1])
    assert num_first != len(own[1][1])
    padding = (tf.ones_like(own[0][0][:3]), tf.zeros_like(own[0][1][:3]))
    for padded in ([*own], [own[0], padding, own[1]]):
        vectors, items = (tf.concat(arrays, axis=0) for arrays in zip(*padded, strict=True))
        starts = [0, len(items) - len(own[1][1])]
        sums = [
            net.loss_sums(part, KEY, lambda *_, f=first, v=vectors, i=items: (v, i, f))
            for part, first in zip(parts, starts, strict=True)
        ]
        np.testing.assert_allclose(np.sum(sums, axis=0), net.loss_sums(batch(rows), KEY), rtol=1e-5)


def test_as_many_negatives_as_trained_items_is_the_full_softmax() -> None:
    windows = batch(walks(8))
    exact = network().loss_sums(windows)
    np.testing.assert_array_equal(network("uniform", V - 3).loss_sums(windows), exact)
    assert float(network("uniform", V - 4).loss_sums(windows)[0]) != float(exact[0])


def test_another_kind_is_refused() -> None:
    with pytest.raises(SettingsError, match="expected uniform, popularity or in_batch, got hard"):
        network("hard")


def test_masked_inputs_leave_the_targets_and_cropped_ones_lose_some() -> None:
    windows = batch(walks(64))
    plain, masked, cropped, reordered = (
        network(**share).loss_sums(windows, KEY)
        for share in ({}, {"mask_share": 0.5}, {"crop_share": 1.0}, {"reorder_share": 1.0})
    )
    assert float(masked[1]) == float(plain[1]) == 64 * L
    assert float(masked[0]) != float(plain[0])
    assert 0 < float(cropped[1]) < 64 * L
    assert 0 < float(reordered[1]) < 64 * L


def test_no_share_of_augmentation_has_an_effect_without_a_key() -> None:
    windows = batch(walks(16))
    changed = network(mask_share=0.5, crop_share=1.0, reorder_share=1.0)
    np.testing.assert_array_equal(changed.loss_sums(windows), network().loss_sums(windows))


def test_stored_models_load_also_those_from_before_these_settings(tmp_path: Path) -> None:
    net = network("in_batch", mask_share=0.1)
    settings = net.settings._asdict()
    old = {name: settings[name] for name in list(settings)[:8]}
    rows = {name: batch([[0, 0, 0, 0, 0, 5, 6, 7]])[name] for name in INPUTS}
    vectors = []
    for number, stored in enumerate((settings, old)):
        folder = tmp_path / str(number)
        save_network(folder, stored, weights_of(net), net.item_vectors(), COUNTS > 0)
        vectors.append(self_attention.encoder(folder, 1)(rows))
        assert Settings(**folders.load_settings(folder)) in (net.settings, SETTINGS)
    np.testing.assert_array_equal(vectors[0], vectors[1])
