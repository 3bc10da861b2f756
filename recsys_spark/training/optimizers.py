"""Adam, Adagrad and SGD whose step costs as much as the batch has rows, not as the tables have.

A dense gradient goes through TensorFlow's fused kernel. Rows of an embedding table are gathered, given to
the same kernel, and scattered back; no table and no slot is ever read whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from recsys_spark.errors import SettingsError

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7


class Rule(NamedTuple):
    """How one optimiser updates one variable.

    Attributes:
        starts: the value that fills each slot at first, and the new rows of a table that grew.
        update: (variable, its slots, dense gradient, learning rate, step from 1); changes the first two.
    """

    starts: tuple[float, ...]
    update: Callable[[Any, Sequence[Any], Any, float, Any], None]


class Optimizer:
    """The slots of one optimiser and the step that uses them.

    Attributes:
        starts: as in Rule.
        slots: for each trained variable its slots, each of the variable's shape.
        variables: the int64 number of steps done, then all slots in the order of `slots`.
    """

    def __init__(self, rule: Rule, learning_rate: float, variables: Sequence[Any]) -> None:
        self.starts = rule.starts
        self._update = rule.update
        self._learning_rate = learning_rate
        self._trained = [v.value if isinstance(v, keras.Variable) else v for v in variables]
        self._steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.slots = [[_filled(v, start) for start in rule.starts] for v in self._trained]
        self.variables = [self._steps, *(slot for slots in self.slots for slot in slots)]
        # The rows in the batch of a variable and of its slots: kernels update variables, not tensors.
        self._rows = [
            [_no_rows(v) for _ in range(1 + len(rule.starts))] if v.shape.rank else [] for v in self._trained
        ]

    def apply(self, gradients: Sequence[Any]) -> None:
        """Do one step; `gradients` in the order of the variables, each a tensor or tf.IndexedSlices.

        Ids may repeat in IndexedSlices: their gradients are summed first. Rows without an id stay as they are.
        So do their slots: Adagrad and SGD lose nothing by that; Adam becomes Lazy Adam, whose moments of absent
        rows do not decay, with bias correction by the global step.

        Raises:
            ValueError: a variable has no gradient, or the numbers of both differ.
        """
        step = self._steps.assign_add(1)
        for variable, slots, rows, gradient in zip(
            self._trained, self.slots, self._rows, gradients, strict=True
        ):
            if gradient is None:
                raise ValueError(
                    f"variable {variable.name}: no gradient; the loss does not depend on it; do not train it"
                )
            if isinstance(gradient, tf.IndexedSlices):
                ids, gradient = _sum_repeated(gradient)
                for row, table in zip(rows, [variable, *slots], strict=True):
                    row.assign(tf.gather(table, ids))
                self._update(rows[0], rows[1:], gradient, self._learning_rate, step)
                # ResourceScatterSub and ResourceSparseApplyAdagradV2 would make the whole update twice as slow.
                for row, table in zip(rows, [variable, *slots], strict=True):
                    tf.raw_ops.ResourceScatterUpdate(
                        resource=table.handle, indices=ids, updates=row.read_value()
                    )
            else:
                self._update(variable, slots, gradient, self._learning_rate, step)


def optimizer(name: str, learning_rate: float, variables: Sequence[Any]) -> Optimizer:
    """Make an optimiser of tf.Variables or Keras variables; other settings as in Keras.

    Args:
        name: adam, adagrad or sgd (without momentum).

    Raises:
        SettingsError: another name.
    """
    if name not in _RULES:
        raise SettingsError(
            f"optimizer {name!r}: unknown; expected one of {', '.join(_RULES)}; set one of them"
        )
    return Optimizer(_RULES[name], learning_rate, variables)


def _filled(variable: Any, value: float) -> Any:
    return tf.Variable(tf.fill(variable.shape, tf.constant(value, variable.dtype)), trainable=False)


def _no_rows(variable: Any) -> Any:
    row = variable.shape[1:]
    return tf.Variable(tf.zeros([0, *row], variable.dtype), trainable=False, shape=[None, *row])


def _sum_repeated(gradient: Any) -> tuple[Any, Any]:
    ids, places = tf.unique(gradient.indices)
    return ids, tf.math.unsorted_segment_sum(gradient.values, places, tf.size(ids))


def _adam(variable: Any, slots: Sequence[Any], gradient: Any, learning_rate: float, step: Any) -> None:
    # Source: Kingma & Ba 2015, the form before section 2.1: epsilon beside the uncorrected moment, as in Keras.
    m, v = slots
    step = tf.cast(step, variable.dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=m.handle,
        v=v.handle,
        beta1_power=BETA_1**step,
        beta2_power=BETA_2**step,
        lr=learning_rate,
        beta1=BETA_1,
        beta2=BETA_2,
        epsilon=EPSILON,
        grad=gradient,
    )


def _adagrad(variable: Any, slots: Sequence[Any], gradient: Any, learning_rate: float, step: Any) -> None:
    # Keras adds epsilon under the root at each step, the kernel not at all: the slot starts with it.
    (accumulator,) = slots
    tf.raw_ops.ResourceApplyAdagrad(
        var=variable.handle, accum=accumulator.handle, lr=learning_rate, grad=gradient
    )


def _sgd(variable: Any, slots: Sequence[Any], gradient: Any, learning_rate: float, step: Any) -> None:
    tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=learning_rate, delta=gradient)


_RULES = {
    "adam": Rule((0.0, 0.0), _adam),
    "adagrad": Rule((0.1 + EPSILON,), _adagrad),
    "sgd": Rule((), _sgd),
}
