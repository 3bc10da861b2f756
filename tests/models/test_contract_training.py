"""What the training of every recommender keeps to; `contract_lines` has a line for each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from contract_fits import Fit, common, first, item_index, lesson, section
from contract_lines import LINES
from contract_shop import LENGTH, Examples, V, write_examples
from pyspark.sql import SparkSession

from recsys_spark import models
from recsys_spark.errors import BadDataError, TrainingError
from recsys_spark.failures import as_known
from recsys_spark.forms import folder as folders
from recsys_spark.training import night, recommenders
from recsys_spark.training.night import Fitted

NETWORKS = [name for name, facts in models.ALL.items() if facts.fitted_by == "network"]
LEARNING = [name for name, facts in models.ALL.items() if facts.fitted_by not in ("nobody", "members")]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_starts_at_the_loss_that_it_states(name: str, examples: Examples) -> None:
    from recsys_spark.training.feed import Feed
    from recsys_spark.training.lessons import columns

    feed = Feed([examples.sequence_examples], columns(LENGTH + 1, mask=True), 64, 1)
    losses, weights = first(name).loss_sums(next(iter(feed.batches(1))))
    assert LINES[name].first_loss is not None
    assert float(losses / weights) == pytest.approx(LINES[name].first_loss, abs=0.05)


@pytest.mark.parametrize("name", [name for name in LEARNING if LINES[name].floats])
@pytest.mark.parametrize("fault", [float("nan"), float("inf")])
def test_examples_that_are_not_finite_stop_with_one_clear_line(
    name: str, fault: float, spark: SparkSession, tmp_path: Path
) -> None:
    taught = {name: {"twin": lesson(name, write_examples(tmp_path, fault), spark)}}
    with pytest.raises(Exception) as raised:  # Spark wraps what it raises
        recommenders.train(taught, {name: section(name)}, common(tmp_path), spark, 1)
    known = as_known(raised.value)  # as the job tells it
    assert isinstance(known, TrainingError | BadDataError)
    assert "\n" not in str(known)
    assert any(word in str(known) for word in ("not finite", "nan", "inf"))


@pytest.mark.parametrize("name", LEARNING)
def test_weights_that_are_not_finite_are_never_kept(
    name: str, fitted: Fit, examples: Examples, spark: SparkSession, tmp_path: Path
) -> None:
    def save(folder: Path) -> dict[str, str]:
        source, files = fitted.stored.fetch(""), dict(fitted.stored.files)
        for file in files:
            (folder / file).write_bytes((source / file).read_bytes())
        [array] = [file for file in ("weights.npy", "item_vectors.npy") if file in files]
        values = np.load(folder / array)
        values.reshape(-1)[-1] = np.nan
        return files | folders.save_array(folder, array, values)

    kept: list[str] = []
    with pytest.raises(TrainingError, match=rf"{name} twin: .* not finite"):
        night.train(
            name, {"twin": lesson(name, examples, spark)}, lambda *_: Fitted(V, save, {}), item_index(),
            lambda version, folder: kept.append(version),
        )  # fmt: skip
    assert not kept
