"""Each optimiser equals Keras's or NumPy's formula, and touches only the rows that have a gradient."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from recsys_spark.errors import SettingsError
from recsys_spark.training.optimizers import Optimizer, optimizer

V, D, STEPS, RATE = 12, 5, 7, 0.01
STOCK = {
    "adam": keras.optimizers.Adam,
    "adagrad": keras.optimizers.Adagrad,
    "sgd": keras.optimizers.SGD,
}
Array = npt.NDArray[Any]


def start() -> Array:
    return np.random.default_rng(0).normal(size=(V, D)).astype(np.float32)


def batches() -> list[tuple[Array, Array]]:
    """Ids (row 0 three times, rows from 8 never) and their gradients."""
    rng = np.random.default_rng(1)
    return [
        (np.append(rng.integers(1, 8, 6), [0, 0, 0]), rng.normal(size=(9, D)).astype(np.float32))
        for _ in range(STEPS)
    ]


def dense(ids: Array, values: Array) -> Array:
    gradient = np.zeros((V, D), np.float32)
    np.add.at(gradient, ids, values)
    return gradient


def slices(ids: Array, values: Array) -> tf.IndexedSlices:
    return tf.IndexedSlices(tf.constant(values), tf.constant(ids), tf.constant([V, D]))


def stock(name: str) -> Array:
    variable = keras.Variable(start())
    theirs = STOCK[name](RATE)
    for ids, values in batches():
        theirs.apply([tf.constant(dense(ids, values))], [variable])
    return np.asarray(variable)


@pytest.mark.parametrize("name", STOCK)
def test_a_dense_gradient_gives_what_keras_gives(name: str) -> None:
    variable = keras.Variable(start())
    ours = optimizer(name, RATE, [variable])
    for ids, values in batches():
        ours.apply([tf.constant(dense(ids, values))])
    np.testing.assert_allclose(np.asarray(variable), stock(name), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["adagrad", "sgd"])
def test_rows_with_repeated_ids_give_what_keras_gives_for_the_dense_gradient(name: str) -> None:
    variable = tf.Variable(start())
    ours = optimizer(name, RATE, [variable])
    step = tf.function(lambda gradient: ours.apply([gradient]))
    for ids, values in batches():
        step(slices(ids, values))
    np.testing.assert_allclose(variable.numpy(), stock(name), rtol=0, atol=1e-6)


def test_lazy_adam_is_adam_on_the_rows_of_the_batch_with_the_global_step() -> None:
    variable = tf.Variable(start())
    ours = optimizer("adam", RATE, [variable])
    w, m, v = start().astype(np.float64), np.zeros((V, D)), np.zeros((V, D))
    for number, (ids, values) in enumerate(batches(), 1):
        ours.apply([slices(ids, values)])
        rows, g = np.unique(ids), dense(ids, values)[np.unique(ids)]
        m[rows] = 0.9 * m[rows] + 0.1 * g
        v[rows] = 0.999 * v[rows] + 0.001 * g**2
        rate = RATE * np.sqrt(1 - 0.999**number) / (1 - 0.9**number)
        w[rows] -= rate * m[rows] / (np.sqrt(v[rows]) + 1e-7)
    np.testing.assert_allclose(variable.numpy(), w, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours.slots[0][0].numpy(), m, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours.slots[0][1].numpy(), v, rtol=1e-5, atol=1e-7)


def state(variable: tf.Variable, ours: Optimizer) -> list[Array]:
    return [np.copy(table.numpy()) for table in [variable, *ours.slots[0]]]


@pytest.mark.parametrize("name", STOCK)
def test_absent_rows_and_their_slots_keep_every_bit(name: str) -> None:
    variable = tf.Variable(start())
    ours = optimizer(name, RATE, [variable])
    ours.apply([tf.constant(start())])  # so that slots of absent rows are not at their start
    before = state(variable, ours)
    for ids, values in batches():
        ours.apply([slices(ids, values)])
    for old, new in zip(before, state(variable, ours), strict=True):
        np.testing.assert_array_equal(new[8:], old[8:])
        assert (new[0] != old[0]).all()


@pytest.mark.parametrize("name", STOCK)
def test_a_batch_without_rows_changes_only_the_step(name: str) -> None:
    variable = tf.Variable(start())
    ours = optimizer(name, RATE, [variable])
    before = state(variable, ours)
    ours.apply([slices(np.zeros(0, np.int64), np.zeros((0, D), np.float32))])
    for old, new in zip(before, state(variable, ours), strict=True):
        np.testing.assert_array_equal(new, old)
    assert int(ours.variables[0]) == 1


@pytest.mark.parametrize("name", STOCK)
def test_no_step_reads_a_whole_table(name: str) -> None:
    table, bias, scale = tf.Variable(start()), tf.Variable(tf.zeros(V)), tf.Variable(1.0)
    ours = optimizer(name, RATE, [table, bias, scale])

    @tf.function
    def step(ids: Any) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.gather(table, ids) ** 2) * scale + tf.reduce_sum(tf.gather(bias, ids))
        ours.apply(tape.gradient(loss, [table, bias, scale]))

    graph = step.get_concrete_function(tf.TensorSpec([None], tf.int32)).graph
    handles = [v.handle for v in (table, bias, *ours.slots[0], *ours.slots[1])]
    tables = {id(inside) for outside, inside in graph.captures if any(outside is h for h in handles)}
    users = {op.type for op in graph.get_operations() for given in op.inputs if id(given) in tables}
    assert len(tables) == len(handles)
    assert users == {"ResourceGather", "ResourceScatterUpdate"}
    step(tf.constant([1, 1]))
    assert np.flatnonzero(bias.numpy()).tolist() == [1]


@pytest.mark.parametrize("name", STOCK)
def test_variables_restored_by_position_go_on_as_if_unbroken(name: str) -> None:
    def made() -> tuple[list[tf.Variable], Optimizer]:
        trained = [tf.Variable(start()), tf.Variable(start()[0])]
        return trained, optimizer(name, RATE, trained)

    (whole, unbroken), (first, broken), (second, resumed) = made(), made(), made()
    for number, (ids, values) in enumerate(batches()):
        gradients = [slices(ids, values), tf.constant(values[0])]
        unbroken.apply(gradients)
        if number == 3:
            for new, old in zip([*second, *resumed.variables], [*first, *broken.variables], strict=True):
                new.assign(old.numpy())
        (broken if number < 3 else resumed).apply(gradients)
    for expected, actual in zip([*whole, *unbroken.variables], [*second, *resumed.variables], strict=True):
        np.testing.assert_array_equal(actual.numpy(), expected.numpy())


def test_slots_lie_in_a_fixed_order_after_the_step() -> None:
    first, second = tf.Variable(start()), tf.Variable(tf.zeros(3))
    ours = optimizer("adam", RATE, [first, second])
    assert [v.shape.as_list() for v in ours.variables] == [[], [V, D], [V, D], [3], [3]]
    assert ours.variables[0].dtype == tf.int64
    assert [len(optimizer(name, RATE, [first]).starts) for name in ("adam", "adagrad", "sgd")] == [2, 1, 0]


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="optimizer 'adamw': unknown; expected one of adam, adagrad, sgd"):
        optimizer("adamw", RATE, [tf.Variable(1.0)])


def test_a_variable_without_a_gradient_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"unused.*no gradient"):
        optimizer("sgd", RATE, [tf.Variable(1.0, name="unused")]).apply([None])
