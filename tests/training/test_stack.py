"""The feed on the ends of its range of packages; `make test-stack` runs this in both environments."""

from __future__ import annotations

import os
import re
from importlib.metadata import version
from pathlib import Path

import checksums
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_spark.tables import DataFile
from recsys_spark.training.columns import ColumnType
from recsys_spark.training.feed import Feed

pytestmark = pytest.mark.stack
ROOT = Path(__file__).parents[2]
LOCKS = {"oldest": "requirements-oldest.lock", "newest": "requirements.lock"}
OLDEST = {"pyarrow": "14.0.", "numpy": "1.26.", "pyspark": "4.0.", "pandas": "2.2.", "fsspec": "2024.2."}
PACKAGES = ("petastorm", "tensorflow-cpu", "keras", *OLDEST)


def test_the_packages_are_the_locked_ones() -> None:
    end = os.environ["STACK"]
    locked = dict(re.findall(r"^([\w.-]+)==([^ ;]+)", (ROOT / LOCKS[end]).read_text(), re.MULTILINE))
    assert {name: version(name) for name in PACKAGES} == {name: locked[name] for name in PACKAGES}
    is_oldest = {name: locked[name].startswith(start) for name, start in OLDEST.items()}
    assert set(is_oldest.values()) == {end == "oldest"}, is_oldest


def test_a_model_learns_a_line_through_the_feed(tmp_path: Path) -> None:
    import keras

    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 3)).astype(np.float32)
    y = x @ np.array([1, -2, 3], np.float32)
    rows = pa.table({"x": pa.array(list(x), pa.list_(pa.float32())), "y": y})
    pq.write_table(rows, tmp_path / "part-0.parquet", row_group_size=50, **checksums.WRITTEN)
    files = [DataFile((tmp_path / "part-0.parquet").as_uri(), (50,) * 12)]
    columns = {"x": ColumnType("float32", 3), "y": ColumnType("float32")}
    feed = Feed(files, columns, batch_size=32, seed=1)
    keras.utils.set_random_seed(0)
    line = keras.Sequential([keras.layers.Dense(1, use_bias=False)])
    line.compile(keras.optimizers.SGD(0.1), "mse")
    rows_seen = 0
    for epoch in range(3):
        for batch in feed.batches(epoch):
            line.train_on_batch(batch["x"], batch["y"][:, None])
            rows_seen += int(batch["y"].shape[0])
    assert rows_seen == 3 * 600
    np.testing.assert_allclose(line.get_weights()[0].ravel(), [1, -2, 3], atol=1e-3)
