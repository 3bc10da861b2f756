"""Where each loss starts, that weights count, and that the corrected ones train what full softmax trains."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from recsys_spark.networks import draws, losses

B, N, V = 5, 7, 50
# Not TensorFlow's: importing a test must not start it, since its threads can be capped only before.
ONES, ZEROS = np.ones(B, np.float32), np.zeros(B, np.float32)
NO_HIT = np.zeros((B, N), bool)
UNIFORM = np.full(N, np.log(N / V), np.float32)  # ln(N q)


def mean(sums: losses.Sums) -> float:
    return float(sums[0] / sums[1])


def in_batch(**changed: Any) -> losses.Sums:
    """Five rows whose vectors are 0; each item has the share 1 / V."""
    given = {
        "users": tf.zeros([B, 3]), "items": tf.zeros([B, 3]), "own_place": tf.range(B),
        "item_idx": tf.constant([2, 3, 4, 5, 6]), "log_q": tf.fill([B], float(-np.log(V))), "weights": ONES,
    }  # fmt: skip
    return losses.in_batch_softmax(**{**given, **changed})


def test_each_loss_starts_where_its_docstring_says() -> None:
    targets = tf.range(B)
    assert mean(losses.pairwise_logistic(ZEROS, tf.zeros([B, N]), ONES)) == pytest.approx(np.log(2))
    assert mean(losses.pointwise_logistic(ZEROS, targets % 2, ONES)) == pytest.approx(np.log(2))
    assert mean(losses.softmax(tf.zeros([B, V]), targets, ONES)) == pytest.approx(np.log(V))
    others = tf.zeros([B, N])
    sampled = losses.sampled_softmax(ZEROS, others, UNIFORM, NO_HIT, ONES)
    assert mean(sampled) == pytest.approx(np.log(1 + V))  # no negative was the target
    uncorrected = losses.sampled_softmax(ZEROS, others, tf.zeros([N]), NO_HIT, ONES)
    assert mean(uncorrected) == pytest.approx(np.log(1 + N))
    assert mean(in_batch()) == pytest.approx(np.log(1 + V))
    assert mean(in_batch(log_q=tf.fill([B], float(-np.log(B - 1))))) == pytest.approx(np.log(B))


def test_the_logistic_losses_follow_their_formulas() -> None:
    positive, negative = tf.constant([1.0, 2.0]), tf.constant([[0.0, 3.0], [2.0, -1.0]])
    weights = np.array([2.0, 0.5])
    rows = np.log1p(np.exp(negative.numpy() - positive.numpy()[:, None])).mean(axis=1)
    loss, weight = losses.pairwise_logistic(positive, negative, weights.astype(np.float32))
    assert float(loss) == pytest.approx(rows @ weights)
    assert float(weight) == 2.5
    loss, weight = losses.pointwise_logistic(positive, np.array([1, 0]), weights.astype(np.float32))
    assert float(loss) == pytest.approx(np.array([np.log1p(np.exp(-1)), np.log1p(np.exp(2))]) @ weights)
    assert float(weight) == 2.5


def test_a_row_of_weight_0_adds_nothing_and_weights_scale_the_rest() -> None:
    rng = np.random.default_rng(0)
    scores, others = rng.normal(size=B), rng.normal(size=(B, N))
    vectors = rng.normal(size=(2, B, 3)).astype(np.float32)
    weights = tf.constant([0, 3, 0, 0, 0], tf.float32)

    def of(weights: Any, rows: Any) -> list[losses.Sums]:
        own, many, hits = (tf.constant(a[rows], tf.float32) for a in (scores, others, np.zeros((B, N))))
        return [
            losses.pairwise_logistic(own, many, weights),
            losses.pointwise_logistic(own, tf.ones_like(own), weights),
            losses.softmax(many, tf.zeros_like(own, tf.int32), weights),
            losses.sampled_softmax(own, many, UNIFORM, hits > 0, weights),
            in_batch(users=vectors[0][rows], items=vectors[1], own_place=tf.range(B)[rows], weights=weights),
        ]

    for all_rows, one in zip(of(weights, slice(0, B)), of(tf.ones([1]), slice(1, 2)), strict=True):
        assert float(all_rows[0]) == pytest.approx(3 * float(one[0]), rel=1e-5)
        assert float(all_rows[1]) == 3


def test_a_hit_is_no_negative() -> None:
    others, hits = np.zeros((B, N), np.float32), np.zeros((B, N), bool)
    others[:, 2], hits[:, 2] = 99, True
    loss = losses.sampled_softmax(ZEROS, others, tf.zeros([N]), hits, ONES)
    assert mean(loss) == pytest.approx(np.log(N))
    alone = losses.sampled_softmax(ZEROS, others, tf.zeros([N]), np.ones((B, N), bool), ONES)
    assert mean(alone) == 0


def test_rows_of_the_same_item_known_positives_and_padding_are_no_negatives() -> None:
    log_q = tf.fill([B], float(-np.log(4)))  # four draws: each negative stands for one item
    same = in_batch(item_idx=tf.constant([2, 3, 4, 5, 2]), log_q=log_q)
    assert float(same[0]) == pytest.approx(2 * np.log(4) + 3 * np.log(5))
    positive = np.zeros((B, B), bool)
    positive[0, :3] = True  # itself, and two more
    assert float(in_batch(is_positive=positive, log_q=log_q)[0]) == pytest.approx(np.log(3) + 4 * np.log(5))
    padded = in_batch(
        users=tf.zeros([4, 3]), own_place=tf.range(4), weights=tf.ones([4]),
        item_idx=tf.constant([2, 3, 4, 5, 0]), log_q=tf.constant([-np.log(3)] * 4 + [-np.inf], tf.float32),
    )  # fmt: skip
    assert float(padded[0]) == pytest.approx(4 * np.log(4))


def test_candidates_of_the_own_user_do_not_count_as_draws() -> None:
    positive = np.zeros((B, B), bool)
    positive[:, :2] = True
    first = in_batch(
        users=tf.zeros([1, 3]), own_place=tf.range(1), weights=tf.ones([1]), is_positive=positive[:1],
        num_own=tf.constant([2]),
    )  # fmt: skip
    assert mean(first) == pytest.approx(np.log(1 + V))


def test_two_workers_sum_to_one_that_has_all_rows() -> None:
    rng = np.random.default_rng(1)
    users, items = rng.normal(size=(2, B, 3)).astype(np.float32)
    weights = rng.uniform(size=B).astype(np.float32)
    whole = in_batch(users=users, items=items, weights=weights)
    parts = [
        in_batch(users=users[r], items=items, own_place=tf.range(B)[r], weights=weights[r])
        for r in (slice(0, 2), slice(2, B))
    ]
    np.testing.assert_allclose(np.sum(parts, axis=0), whole, rtol=1e-5)


class Toy:
    """Three kinds of user who choose among 50 items by skewed popularity; a table of scores [V + 2, 3]."""

    kinds, rows, steps = 3, 256, 1500
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, V + 1) ** 1.2 * np.exp(0.7 * rng.normal(size=(kinds, V)))
    shares /= shares.sum(axis=1, keepdims=True)
    counts = np.concatenate([[0, 0], np.round(1e6 * shares.mean(axis=0))]).astype(np.int64)


def full(table: Any, users: Any, items: Any, key: Any, correction: float) -> losses.Sums:
    scores = tf.matmul(users, table[2:], transpose_b=True)
    return losses.softmax(scores, items - 2, tf.ones([Toy.rows]))


def sampled(table: Any, users: Any, items: Any, key: Any, correction: float) -> losses.Sums:
    drawn, log_q = draws.by_popularity(draws.shares(Toy.counts, 0.75), 25, key)
    own = tf.reduce_sum(users * tf.gather(table, items), axis=1)
    others = tf.matmul(users, tf.gather(table, drawn), transpose_b=True)
    is_hit = items[:, None] == drawn[None, :]
    log_counts = correction * (np.log(25) + log_q)
    return losses.sampled_softmax(own, others, log_counts, is_hit, tf.ones([Toy.rows]))


def gathered(table: Any, users: Any, items: Any, key: Any, correction: float) -> losses.Sums:
    log_q = correction * tf.gather(draws.log_shares(Toy.counts), items)
    places = tf.range(Toy.rows)
    return losses.in_batch_softmax(users, tf.gather(table, items), places, items, log_q, tf.ones([Toy.rows]))


@cache
def trained(loss_sums: Any, correction: float = 1.0) -> Any:
    """[3, V], log of the shares learnt: SGD with a falling rate, the second half of the path averaged."""
    cumulative = tf.constant(Toy.shares.cumsum(axis=1))

    @tf.function
    def train() -> Any:
        table = tf.zeros([V + 2, Toy.kinds])
        average = tf.zeros_like(table)
        for step in tf.range(Toy.steps):
            key = tf.stack([tf.constant(4096, tf.int64), tf.cast(step, tf.int64)])
            kind = tf.cast(Toy.kinds * draws.numbers([Toy.rows], key, 20), tf.int32)
            points = draws.numbers([Toy.rows, 1], key, 21, tf.float64)
            chosen = tf.searchsorted(tf.gather(cumulative, kind), points, side="right")[:, 0]
            items = 2 + tf.minimum(chosen, V - 1)
            with tf.GradientTape() as tape:
                tape.watch(table)
                total, weight = loss_sums(table, tf.one_hot(kind, Toy.kinds), items, key, correction)
                loss = total / weight
            gradient = tf.convert_to_tensor(tape.gradient(loss, table))
            table -= 8 * (1 - tf.cast(step, tf.float32) / Toy.steps) * gradient
            if step >= Toy.steps // 2:
                average += table / (Toy.steps - Toy.steps // 2)
        return tf.nn.log_softmax(tf.transpose(average[2:]))

    return train().numpy()


def kl(loss_sums: Any, correction: float) -> float:
    """KL(full softmax's shares || this loss's), of the kind of user where it is greatest."""
    expected, learnt = trained(full), trained(loss_sums, correction)
    return float((np.exp(expected) * (expected - learnt)).sum(axis=1).max())


@pytest.mark.parametrize("loss_sums", [sampled, gathered])
def test_the_corrected_loss_ends_where_full_softmax_does_and_the_uncorrected_one_does_not(
    loss_sums: Any,
) -> None:
    assert kl(loss_sums, 1.0) <= 0.01
    assert kl(loss_sums, 0.0) > 0.1
