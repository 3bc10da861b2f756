"""How the workers of one training speak with each other: TensorFlow's collectives, or nobody to speak with.

Every worker holds all variables, equal by seed, and takes the same steps: what differs are its batches.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from recsys_spark.errors import TrainingError


class Cluster(NamedTuple):
    """How a worker speaks with the others.

    All workers must make the same calls in the same order. `add_up` and `gather` belong inside a function
    that went through `compiled`.

    Attributes:
        worker: this one's number; worker 0 is the chief, which judges and writes the checkpoints.
        compiled: function and input signature in, tf.function out, which raises TrainingError when a
            worker is gone.
        add_up: a tensor, or each of a list of tensors, summed over the workers.
        gather: a tensor's rows of all workers, in the workers' order; their numbers may differ. Its
            gradient comes back from all workers.
        from_chief: what the function gives on the chief; the others do not call it.
    """

    worker: int
    num_workers: int
    compiled: Callable[[Callable[..., Any], Sequence[Any]], Callable[..., Any]]
    add_up: Callable[[Any], Any]
    gather: Callable[[Any], Any]
    from_chief: Callable[[Callable[[], float]], float]

    @property
    def is_chief(self) -> bool:
        """Whether this worker judges and writes the checkpoints."""
        return self.worker == 0


def _itself(tensor: Any) -> Any:
    return tensor


def _called(function: Callable[[], float]) -> float:
    return function()


def _compiled(function: Callable[..., Any], signature: Sequence[Any]) -> Callable[..., Any]:
    return tf.function(function, input_signature=signature)  # type: ignore[no-any-return]


ALONE = Cluster(0, 1, _compiled, _itself, _itself, _called)


def join() -> Cluster:
    """Meet the other workers, as the environment's TF_CONFIG says; before TensorFlow's first operation.

    A worker uses at most one GPU, the first it sees.

    Raises:
        TrainingError: this worker cannot listen at its address, or another one ended.
    """
    config = json.loads(os.environ["TF_CONFIG"])
    worker, num_workers = int(config["task"]["index"]), len(config["cluster"]["worker"])
    tf.config.set_visible_devices(tf.config.list_physical_devices("GPU")[:1], "GPU")
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise _gone(error, worker, num_workers) from error

    def compiled(function: Callable[..., Any], signature: Sequence[Any]) -> Callable[..., Any]:
        def placed(*args: Any) -> Any:  # collectives ask for a device, which arguments have not
            return function(*tf.nest.map_structure(tf.identity, args))

        running = tf.function(lambda *args: strategy.run(placed, args), input_signature=signature)

        def called(*args: Any) -> Any:
            try:
                return running(*args)
            except tf.errors.OpError as error:
                raise _gone(error, worker, num_workers) from error

        return called

    def add_up(tensors: Any) -> Any:
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tensors)

    def gather(tensor: Any) -> Any:
        return tf.distribute.get_replica_context().all_gather(tensor, axis=0)

    add_up_number = compiled(add_up, [tf.TensorSpec([], tf.float64)])

    def from_chief(function: Callable[[], float]) -> float:
        return float(add_up_number(tf.constant(0.0 if worker else function(), tf.float64)))

    return Cluster(worker, num_workers, compiled, add_up, gather, from_chief)


def check_same_start(cluster: Cluster, epochs: int, step: int) -> None:
    """Make sure that all workers found the same checkpoint.

    Raises:
        TrainingError: they go on from different places.
    """
    if cluster.num_workers == 1:
        return
    gathered = cluster.compiled(cluster.gather, [tf.TensorSpec([1, 2], tf.int64)])
    places = gathered(tf.constant([[epochs, step]], tf.int64)).numpy().tolist()
    for worker, place in enumerate(places):
        if place != places[0]:
            raise TrainingError(
                f"worker {worker}: expected the chief's checkpoint, after {places[0][0]} epochs and {places[0][1]} "
                f"steps, got {place[0]} and {place[1]}; set train.work_dir to a folder that all workers share"
            )


def _gone(error: tf.errors.OpError, worker: int, num_workers: int) -> TrainingError:
    """What TensorFlow says of a worker that ended, as one line that names it."""
    named = {int(number) for number in re.findall(r"/task:(\d+)", error.message)} - {worker}
    if not named and "Heartbeat" in error.message:
        named = {0}  # the chief is who listens to all heartbeats
    if not named:
        reason = " ".join(error.message.split())[:500]
        return TrainingError(f"worker {worker} of {num_workers}: its step failed: {reason}")
    numbers = " and ".join(map(str, sorted(named)))
    return TrainingError(
        f"worker {worker} of {num_workers}: worker {numbers} is gone, so training ends here; look into that "
        "worker's log and run again: training goes on from its last checkpoint"
    )
