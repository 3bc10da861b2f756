"""What every form says that it needs in a scoring worker, against the peak of a real one."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scoring.one_scoring_worker import write_inputs

from recsys_spark import models
from recsys_spark.forms import blend, item_item
from recsys_spark.forms.blend import Blending
from recsys_spark.forms.form import Size
from recsys_spark.forms.item_item import ItemItem, Weighing
from recsys_spark.ranking.item_item import ItemWeights
from recsys_spark.scoring import loaded_models, plan
from recsys_spark.scoring.plan import Work
from recsys_spark.scoring.stored_models import StoredModel
from recsys_spark.scoring.user_rows import BAG_COLUMNS

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

MANY, FEW = 100_000, 5_000  # items
BATCH, N, LENGTH, SEEN = 256, 100, 50, 90


def stored(
    name: str, folder: Path, files: dict[str, str], num_items: int, *members: StoredModel
) -> StoredModel:
    return StoredModel(name, models.ALL[name].form, str(folder), None, files, num_items, "", Path, members)


def sparse(name: str, folder: Path, num_items: int) -> StoredModel:
    neighbours = np.sort(np.random.default_rng(1).integers(2, num_items, (num_items, 100)), axis=1).astype(
        np.int32
    )
    starts = np.arange(num_items + 1, dtype=np.int64) * 100
    matrix = ItemWeights(starts, neighbours.reshape(-1), np.ones(neighbours.size, np.float32))
    form = ItemItem(matrix, np.arange(num_items) >= 2, Weighing("rank", 0.9))
    return stored(name, folder, item_item.save(folder, {}, form), num_items)


def dense(name: str, folder: Path, num_items: int) -> StoredModel:
    weights = np.random.default_rng(1).random(num_items * num_items, np.float32)
    matrix = ItemWeights(np.arange(num_items + 1, dtype=np.int64) * num_items, np.zeros(0, np.int32), weights)
    form = ItemItem(matrix, np.arange(num_items) >= 2, Weighing("bag", 0.5))
    return stored(name, folder, item_item.save(folder, {}, form), num_items)


def network(name: str, folder: Path, num_items: int) -> StoredModel:
    files = printed("contract_network.py", name, folder, num_items, LENGTH)
    return stored(name, folder, json.loads(files.splitlines()[-1]), num_items)


def blended(name: str, folder: Path, num_items: int) -> StoredModel:
    members = (
        sparse("transitions", folder / "transitions", num_items),
        dense("ease", folder / "ease", num_items),
    )
    versions = {member.name: member.version for member in members}
    files = blend.save(folder, Blending("scores", (1.0, 1.0), N), versions, np.arange(num_items) >= 2)
    return stored(name, folder, files, num_items, *members)


# By form, how its rows lie; what saves a large one, by a recommender of the form, and its number of items.
LARGE: dict[tuple[str, str], tuple[Callable[[str, Path, int], StoredModel] | None, str, int]] = {
    ("item_item", "sparse"): (sparse, "transitions", MANY),
    ("item_item", "dense"): (dense, "ease", FEW),
    ("vectors", "of a network"): (network, "self_attention", MANY),
    ("segments", ""): (None, "popularity", MANY),
    ("blend", ""): (blended, "blend", FEW),
}


def printed(script: str, *arguments: object) -> str:
    """What a script beside this file prints."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).with_name(script)), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_form_is_measured() -> None:
    assert {form for form, _ in LARGE} == {facts.form for facts in models.ALL.values()}


@pytest.mark.parametrize("case", list(LARGE))
def test_a_worker_takes_no_more_than_is_said(case: tuple[str, str], tmp_path: Path) -> None:
    save, name, num_items = LARGE[case]
    write_inputs(tmp_path, num_items, 1, LENGTH, [SEEN] * 2 * BATCH)
    _with_bags(tmp_path / "users")
    settings = {"num_items": N, "batch_users": BATCH, "num_threads": 1}
    model = save(name, tmp_path / "model of it", num_items) if save else None
    (tmp_path / "model").write_bytes(pickle.dumps((model, settings)))
    peak = int(printed("contract_worker.py", tmp_path))
    needs = (loaded_models.needs(model, Size(BATCH, N, BATCH * N, LENGTH)),) if model else ()
    num_left_out = 2 * SEEN  # what was seen, and the bag
    work = Work(
        2 * BATCH, num_items, LENGTH, num_left_out * 2 * BATCH, num_left_out, N, N, 20, BATCH, num_counts=num_items,
        num_reasons=1, models=needs,
    )  # fmt: skip
    said = plan.worker_bytes(work, 2 * BATCH) + sum(each.shared for each in needs)
    print(f"{case}: {said / peak:.2f}")
    assert 1.0 <= said / peak < 2.0


def _with_bags(path: Path) -> None:
    """Give each user of the batch a bag of what was seen, and each event the first type."""
    with pa.ipc.open_stream(path.read_bytes()) as stream:
        [batch] = stream
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    columns["types"] = _same(columns["types"], 1, np.int32)
    columns |= dict(zip(BAG_COLUMNS, (columns["seen"], _same(columns["seen"], 1, np.float32)), strict=True))
    full = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    with pa.ipc.new_stream(str(path), full.schema) as stream:
        stream.write_batch(full)


def _same(lists: pa.ListArray, value: float, dtype: type) -> pa.ListArray:
    return pa.ListArray.from_arrays(lists.offsets, pa.array(np.full(len(lists.flatten()), value, dtype)))
