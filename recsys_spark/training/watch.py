"""What people see of a training: a progress bar, TensorBoard's logs, and how fast it was."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from tqdm import tqdm

from recsys_spark.errors import SettingsError
from recsys_spark.training.feed import Feed


class Speed(NamedTuple):
    """Of all steps taken: of the rows of this worker, without judging and checkpoints.

    Attributes:
        rows_per_second: rows over the seconds of waiting and stepping.
        step_milliseconds: mean of a step, waiting left out.
        waiting_share: seconds spent waiting for the next batch, over all seconds.
    """

    rows_per_second: float
    step_milliseconds: float
    waiting_share: float


class Watch:
    """Hands on the feed's batches and looks at the clock; use it in a `with`, which closes what it opened."""

    def __init__(self, feed: Feed, log_dir: Path | None) -> None:
        """Open the logs.

        Raises:
            SettingsError: `log_dir` is given, and the package tensorboard is not there.
        """
        self._feed, self._writer = feed, _writer(log_dir)
        self._rows = self._steps = 0
        self._waited = self._stepped = 0.0
        self._bar: Any = None

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._writer:
            self._writer.close()

    def batches(self, epoch: int, first_step: int) -> Iterator[tuple[int, Any]]:
        """The batches of an epoch from `first_step` on, each with the number of its step."""
        size = self._feed.batch_size
        self._bar = tqdm(
            desc=f"epoch {epoch}", total=self._feed.rows_per_epoch, initial=first_step * size, unit=" rows",
            unit_scale=True, leave=False, mininterval=0.5,
            disable=self._feed.worker > 0 or not sys.stderr.isatty(),
        )  # fmt: skip
        asked = time.perf_counter()
        for step, batch in enumerate(self._feed.batches(epoch, first_step), first_step):
            came = time.perf_counter()
            yield step, batch
            num = min(size, self._feed.rows_per_epoch - step * size)
            self._bar.update(num)
            self._rows, self._steps = self._rows + num, self._steps + 1
            self._waited += came - asked
            asked = time.perf_counter()
            self._stepped += asked - came
        self._bar.close()

    def stepped(self, sums: Sequence[float]) -> None:
        """Show the mean loss of the epoch so far."""
        if sums[1] and not self._bar.disable:
            self._bar.set_postfix(loss=f"{sums[0] / sums[1]:.4f}", refresh=False)

    def epoch_done(self, entry: Mapping[str, float]) -> None:
        """Log the epoch's figures and the speed so far for TensorBoard."""
        if self._writer:
            figures = {name: value for name, value in entry.items() if name != "epoch"}
            self._writer.write({**figures, **self.speed()._asdict()}, int(entry["epoch"]))

    def speed(self) -> Speed:
        """Of the steps so far; zeros before the first."""
        seconds = self._waited + self._stepped
        if not self._steps:
            return Speed(0.0, 0.0, 0.0)
        return Speed(self._rows / seconds, 1000 * self._stepped / self._steps, self._waited / seconds)


class _Writer:
    """TensorBoard's event file."""

    def __init__(self, log_dir: Path) -> None:
        import tensorflow as tf

        self._summary, self._file = tf.summary, tf.summary.create_file_writer(str(log_dir))

    def write(self, figures: Mapping[str, float], epoch: int) -> None:
        with self._file.as_default(step=epoch):
            for name, value in figures.items():
                self._summary.scalar(name, value)

    def close(self) -> None:
        self._file.close()


def _writer(log_dir: Path | None) -> _Writer | None:
    if log_dir is None:
        return None
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise SettingsError(
            "setting train.log_dir: TensorBoard's logs need the package tensorboard; install it "
            "(pip install tensorboard) or set train.log_dir to null"
        ) from None
    return _Writer(log_dir)
