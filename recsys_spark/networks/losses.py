"""Losses as (sum of weighted losses, sum of weights), so that the sums of workers add up.

Shapes: B rows, M targets, V items, N negatives, D the vectors' size, G the item vectors of all workers.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

NEVER = -1e9  # the score of what is no negative

Sums = tuple[Any, Any]


def pairwise_logistic(positive: Any, negative: Any, weights: Any) -> Sums:
    """ln(1 + exp(negative - positive)), the mean over a row's negatives; ln 2 before training.

    Source: Rendle et al. 2009, "BPR", equation 4. Differs: several negatives; no penalty on the weights.

    Args:
        positive: [B], scores.
        negative: [B, N], scores.
        weights: [B].
    """
    losses = tf.reduce_mean(tf.nn.softplus(negative - positive[:, None]), axis=1)
    return _sums(losses, weights)


def pointwise_logistic(scores: Any, labels: Any, weights: Any) -> Sums:
    """Cross-entropy of a yes or no; ln 2 before training.

    Args:
        scores: [B], before the sigmoid.
        labels: [B], 0 to 1.
        weights: [B].
    """
    labels = tf.cast(labels, scores.dtype)
    return _sums(tf.nn.sigmoid_cross_entropy_with_logits(labels, scores), weights)


def softmax(scores: Any, targets: Any, weights: Any) -> Sums:
    """Cross-entropy of the target among all items; ln V before training.

    Args:
        scores: [M, V].
        targets: [M], columns of `scores`.
        weights: [M].
    """
    return _sums(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, scores), weights)


def sampled_softmax(own: Any, others: Any, log_expected_counts: Any, is_hit: Any, weights: Any) -> Sums:
    """`softmax` over the target and N drawn items, each standing for as many as it was unlikely.

    Before training about ln(items that may be drawn), and ln(1 + N) without the correction.

    Source: Bengio and Senecal 2008, "Adaptive Importance Sampling to Accelerate Training of a Neural
    Probabilistic Language Model". Differs: the target is always there once, so only the others are
    corrected, by their expected count N q; the exponentials then sum to those of all items on average.

    Args:
        own: [M], the targets' scores.
        others: [M, N], the drawn items' scores.
        log_expected_counts: [N], ln(N q); zeros: no correction.
        is_hit: [M, N], true where the drawn item is the target or another positive of the user: left out.
        weights: [M].
    """
    corrected = tf.where(is_hit, NEVER, others - log_expected_counts)
    scores = tf.concat([own[:, None], corrected], axis=1)  # [M, 1 + N]
    return softmax(scores, tf.zeros_like(own, tf.int32), weights)


def in_batch_softmax(
    users: Any,
    items: Any,
    own_place: Any,
    item_idx: Any,
    log_q: Any,
    weights: Any,
    is_positive: Any = None,
    num_own: Any = 1,
) -> Sums:
    """`sampled_softmax` whose negatives are the targets of the other rows, of all workers.

    Before training about ln(items that may be drawn); without the correction (`log_q` = -ln of the
    draws) ln G.

    Source: Yi et al. 2019, "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
    Recommendations". Differs: they correct the target as well and keep the other rows with the same
    item. Those rows are left out here, so the target stands for itself alone and only the others are
    corrected; correcting it too would push the scores of popular items up.

    Args:
        users: [B, D], of this worker.
        items: [G, D], G >= B, the target of every row of every worker; a bias is one more dimension.
        own_place: [B], the row of `items` that holds the own target.
        item_idx: [G], item numbers; 0 where a worker padded its share: no negative.
        log_q: [G], log of an item's share in the targets.
        weights: [B].
        is_positive: bool [B, G], true for further items that are no negatives of the row.
        num_own: [B] or a number, candidates from the row's own user, itself included: `is_positive` has
            them all; the rest are draws.
    """
    places = tf.range(tf.shape(items)[0])
    num_draws = tf.math.count_nonzero(item_idx, dtype=users.dtype) - tf.cast(num_own, users.dtype)
    num_draws = tf.reshape(tf.maximum(num_draws, 1), [-1, 1])  # [B, 1] or [1, 1]
    scores = tf.matmul(users, items, transpose_b=True)  # [B, G]
    left_out = tf.equal(tf.gather(item_idx, own_place)[:, None], item_idx) | tf.equal(item_idx, 0)
    if is_positive is not None:
        left_out |= is_positive
    corrected = tf.where(left_out, NEVER, scores - log_q - tf.math.log(num_draws))
    is_own = tf.equal(tf.cast(own_place, tf.int32)[:, None], places)
    return softmax(tf.where(is_own, scores, corrected), own_place, weights)


def _sums(losses: Any, weights: Any) -> Sums:
    return tf.reduce_sum(losses * weights), tf.reduce_sum(weights)
