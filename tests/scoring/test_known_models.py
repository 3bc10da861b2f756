import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from recsys_spark.scoring.known_models import KnownModel

from recsys_spark.errors import TrainingError
from recsys_spark.models import transitions
from recsys_spark.models.transitions import Transitions
from recsys_spark.scoring import known_models
from recsys_spark.transforms import index

D = dt.date(2024, 5, 31)
END = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)


def models(*rows):
    """(name, role, run date, data end, version) each."""
    return pa.Table.from_pylist(
        [
            {
                "name": name,
                "role": role,
                "data_end": data_end,
                "version": version,
                "files": {"weights.safetensors": "ab"},
                "manifest": json.dumps({"num_items": 7, "item_index_hash": "cd"}),
                "run_date": run_date,
            }
            for name, role, run_date, data_end, version in rows
        ],
        pa.schema(
            [
                ("name", pa.string()),
                ("role", pa.string()),
                ("data_end", pa.timestamp("us", "UTC")),
                ("version", pa.string()),
                ("files", pa.map_(pa.string(), pa.string())),
                ("manifest", pa.string()),
                ("run_date", pa.date32()),
            ]
        ),
    )


def chosen(table, role="published", max_age_days=30, data_end=END):
    model = known_models.newest(table, "attention", role, D, max_age_days, data_end, Path)
    return model and model.version


def before(days):
    return D - dt.timedelta(days=days)


def test_the_newest_model_of_the_name_and_role_is_chosen_wherever_it_stands():
    table = models(
        ("attention", "published", before(5), END, "old"),
        ("attention", "published", before(1), END, "new"),
        ("attention", "published", before(3), END, "middle"),
        ("attention", "twin", before(0), END, "twin"),
        ("other", "published", before(0), END, "other"),
    )
    assert chosen(table) == "new"
    assert chosen(table, "twin") == "twin"


def test_a_model_of_a_later_run_is_never_used():
    assert chosen(models(("attention", "published", before(-1), END, "later"))) is None


def test_a_model_is_used_up_to_its_last_day():
    table = models(("attention", "published", before(30), END, "old"))
    assert chosen(table, max_age_days=30) == "old"
    assert chosen(table, max_age_days=29) is None


def test_a_twin_that_learnt_from_events_after_the_cut_is_passed_over():
    second = dt.timedelta(seconds=1)
    table = models(
        ("attention", "twin", before(0), END + second, "peeked"),
        ("attention", "twin", before(2), END, "fair"),
    )
    assert chosen(table, "twin") == "fair"


def test_no_model_at_all_is_none():
    assert chosen(models()) is None


def test_the_row_gives_files_and_index():
    model = known_models.newest(
        models(("attention", "twin", D, END, "v")), "attention", "twin", D, 0, END, Path
    )
    assert model == KnownModel("attention", "v", D, {"weights.safetensors": "ab"}, 7, "cd", Path)


def test_a_model_whose_index_is_not_a_prefix_of_todays_is_refused(spark):
    rows = [("a", 2), ("b", 3), ("c", 4)]
    schema = "item_id string, item_idx int"
    today = spark.createDataFrame(rows, schema)
    fingerprint = index.prefix_hash(today, "item", 4).first()[0]
    model = KnownModel("attention", "v", D, {}, 4, fingerprint, Path)
    known_models.refuse_another_index(model, today)
    swapped = spark.createDataFrame([("b", 2), ("a", 3), ("c", 4)], schema)
    with pytest.raises(TrainingError, match="not a prefix of item_index"):
        known_models.refuse_another_index(model, swapped)


WORKER = """
import json, sys
import numpy as np
from pathlib import Path
from threadpoolctl import threadpool_info
import pyspark.worker
from recsys_spark.scoring import forms, known_models, lists
given = json.loads(sys.argv[1])
known_models.cap_threads(1)
blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
fetch = lambda version: Path(given["folder"])
model = known_models.KnownModel("transitions", given["version"], None, given["files"], 4, "", fetch)
form = known_models.load(model, 1).form
rank = forms.ranking(form, np.array([0, 0, 1, 1], np.int32), np.array([[0.0, 1.0]]))
best = rank({"items": np.array([[0, 2]], np.int32)})(np.array([0]), np.array([0]), 1, None)
print(json.dumps({"best": best.item_idx.tolist(), "blas": blas, "has_tensorflow": "tensorflow" in sys.modules}))
"""


def test_a_worker_of_transitions_imports_no_tensorflow_and_has_one_thread(tmp_path):
    starts, neighbours, weights = np.array([0, 0, 0, 1, 1]), np.array([3], np.int32), np.ones(1, np.float32)
    model = Transitions(starts, neighbours, weights, np.arange(4) >= 2, 0.5)
    version, files = transitions.save(tmp_path, {}, model)
    given = json.dumps({"folder": str(tmp_path), "version": version, "files": files})
    done = subprocess.run([sys.executable, "-c", WORKER, given], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["best"], told["has_tensorflow"]) == ([[3]], False)
    assert told["blas"] and set(told["blas"]) == {1}
