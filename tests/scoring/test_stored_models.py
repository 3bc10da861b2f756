"""Which stored model may be used tonight, and what loading one takes."""

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recsys_spark.errors import BadDataError, TrainingError
from recsys_spark.forms import blend, item_item
from recsys_spark.forms import folder as folders
from recsys_spark.forms.blend import Blending
from recsys_spark.forms.form import Size
from recsys_spark.forms.item_item import ItemItem, Weighing
from recsys_spark.lake.parquet import arrow_schema
from recsys_spark.ranking.item_item import ItemWeights
from recsys_spark.scoring import loaded_models, stored_models
from recsys_spark.scoring.index_hash import prefix_hash
from recsys_spark.scoring.stored_models import StoredModel, Wanted
from recsys_spark.tables import MODELS

D = dt.date(2024, 5, 31)
END = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
IDS = [(2, "a"), (3, "b"), (4, "c")]
NAME = "self_attention"


def stored(*rows):
    """Rows of MODELS, each of some columns; the others are those of a published model of D."""
    usual = {
        "name": NAME, "role": "published", "form": "vectors", "split": "time", "data_end": END, "version": "v",
        "num_items": 5, "item_index_hash": prefix_hash(IDS, 5), "members": {}, "files": {"weights": "ab"},
        "state_files": {}, "manifest": "no JSON", "run_date": D,
    }  # fmt: skip
    return pa.Table.from_pylist([{**usual, **row} for row in rows], arrow_schema(MODELS))


def newest(table, recommenders=(NAME,), **wanted):
    usual = {"role": "published", "run_date": D, "max_age_days": 30, "data_end": END, "split": None}
    return stored_models.newest(table, recommenders, Wanted(**{**usual, **wanted}), IDS, Path)


def version(table, recommenders=(NAME,), **wanted):
    model = newest(table, recommenders, **wanted)
    return model and model.version


def before(days):
    return D - dt.timedelta(days=days)


def test_the_newest_model_of_the_name_and_role_is_used_wherever_it_stands():
    table = stored(
        {"run_date": before(5), "version": "old"},
        {"run_date": before(1), "version": "new"},
        {"run_date": before(3), "version": "middle"},
        {"role": "twin", "version": "twin"},
        {"name": "transitions", "version": "other"},
    )
    assert version(table) == "new"
    assert version(table, role="twin") == "twin"
    assert version(table, ["transitions"]) == "other"


def test_popularity_needs_no_model_and_counts_for_none_beside_others():
    table = stored({"version": "one"})
    assert newest(table, ["popularity"]) is None
    assert version(table, ["popularity", NAME]) == "one"


def test_a_model_of_a_later_run_is_never_used():
    assert newest(stored({"run_date": before(-1)})) is None


def test_a_model_is_used_up_to_its_last_day():
    table = stored({"run_date": before(30), "version": "old"})
    assert version(table, max_age_days=30) == "old"
    assert version(table, max_age_days=29) is None


def test_a_twin_that_learnt_from_events_after_the_cut_is_passed_over():
    table = stored(
        {"role": "twin", "data_end": END + dt.timedelta(seconds=1), "version": "peeked"},
        {"role": "twin", "run_date": before(2), "version": "fair"},
    )
    assert version(table, role="twin") == "fair"


def test_a_twin_of_another_split_has_seen_the_answers_and_is_passed_over(caplog):
    table = stored(
        {"role": "twin", "split": "time", "version": "by time"},
        {"role": "twin", "split": "leave_last_out", "run_date": before(2), "version": "by rank"},
    )
    assert version(table, role="twin", split="time") == "by time"
    assert version(table, role="twin", split="leave_last_out") == "by rank"
    assert version(table, role="twin", split=None) == "by time"
    with caplog.at_level("INFO"):
        assert version(table.slice(0, 1), role="twin", split="leave_last_out") is None
    assert any(line.startswith("no_model ") and "split=leave_last_out" in line for line in caplog.messages)


def test_no_model_at_all_is_none():
    assert newest(stored()) is None


def test_the_row_gives_form_files_and_index_and_its_manifest_is_not_read():
    model = newest(stored({"version": "v"}))
    assert model == StoredModel(NAME, "vectors", "v", D, {"weights": "ab"}, 5, prefix_hash(IDS, 5), Path)


def test_a_blend_has_its_members_of_the_same_versions_in_the_order_of_its_weights():
    table = stored(
        {"name": "transitions", "form": "item_item", "version": "t1", "run_date": before(1)},
        {"name": "transitions", "form": "item_item", "version": "t2"},
        {"name": "ease", "form": "item_item", "version": "e"},
        {"name": "blend", "form": "blend", "version": "b", "members": {"transitions": "t1", "ease": "e"}},
    )
    model = newest(table, ["transitions", "ease"])
    assert (model.name, model.version) == ("blend", "b")
    assert [(member.name, member.version) for member in model.members] == [
        ("transitions", "t1"),
        ("ease", "e"),
    ]


def test_a_blend_of_other_recommenders_is_passed_over():
    rows = [
        {"name": "transitions", "form": "item_item", "version": "t"},
        {"name": "ease", "form": "item_item", "version": "e"},
        {"name": "blend", "form": "blend", "version": "b", "members": {"transitions": "t", "ease": "e"}},
    ]
    table = stored(*rows)
    assert version(table, ["transitions", "ease"]) == "b"
    assert version(table, ["transitions", "ease", "popularity"]) == "b"  # which fills up in any case
    for others in (["ease", "transitions"], ["transitions", NAME], ["transitions", "ease", NAME]):
        assert newest(table, others) is None


def test_a_model_whose_index_is_not_a_prefix_of_todays_is_refused():
    model = newest(stored({}))
    stored_models.refuse_another_index(model, [*IDS, (5, "later")])
    for others in ([(2, "b"), (3, "a"), (4, "c")], IDS[:2]):
        with pytest.raises(TrainingError, match="not a prefix of item_index"):
            stored_models.refuse_another_index(model, others)
    with pytest.raises(TrainingError, match=f"model {NAME} v of 2024-05-31: its 4 item numbers"):
        newest(stored({"num_items": 4}))


def test_what_a_ranking_reads_is_what_its_recommenders_read_and_what_re_ranking_does():
    model = newest(stored({"name": "transitions"}), ["transitions"])
    assert stored_models.reads(model, "none") == ("items",)
    assert stored_models.reads(model, "calibration") == ("items", "weights")
    assert stored_models.reads(None, "calibration") == ()
    both = stored(
        {"name": "transitions", "version": "t"},
        {"name": "ease", "version": "e"},
        {"name": "blend", "form": "blend", "version": "b", "members": {"transitions": "t", "ease": "e"}},
    )
    assert stored_models.reads(newest(both, ["transitions", "ease"]), "none") == ("items", "bag")


def follows(weight=1.0):
    """Item 3 follows item 2; of 4 items."""
    starts = np.array([0, 0, 0, 1, 1])
    matrix = ItemWeights(starts, np.array([3], np.int32), np.array([weight], np.float32))
    return ItemItem(matrix, np.arange(4) >= 2, Weighing("rank", 0.5))


def of_folder(name, form, files, folder, members=()):
    return StoredModel(name, form, folders.version_of(files), D, files, 4, "", lambda _: folder, members)


def transitions_of(folder, weight=1.0):
    return of_folder("transitions", "item_item", item_item.save(folder, {}, follows(weight)), folder)


def test_a_model_is_loaded_once_in_a_process(tmp_path):
    model = transitions_of(tmp_path)
    loaded = loaded_models.load(model, 1)
    assert loaded_models.load(model, 1) is loaded
    assert (loaded.name, loaded.version) == ("transitions", model.version)


def test_a_changed_file_is_refused_before_it_is_loaded(tmp_path):
    model = transitions_of(tmp_path, weight=7.0)
    (tmp_path / item_item.WEIGHTS).write_bytes(b"x")
    with pytest.raises(BadDataError, match=f"{item_item.WEIGHTS}: sha256 expected"):
        loaded_models.load(model, 1)


def test_a_form_that_nobody_knows_is_refused(tmp_path):
    files = item_item.save(tmp_path, {}, follows(9.0))
    with pytest.raises(TrainingError, match="unknown form trees; train again"):
        loaded_models.load(of_folder("forest", "trees", files, tmp_path), 1)


def test_a_blend_is_loaded_with_its_members_and_needs_their_memory_beside_its_own(tmp_path):
    members = tuple(transitions_of(tmp_path / name, weight) for name, weight in (("one", 3.0), ("two", 5.0)))
    blending = Blending("ranks", (1.0, 0.5), 4)
    versions = {"one": members[0].version, "two": members[1].version}
    files = blend.save(tmp_path / "both", blending, versions, np.arange(4) >= 2)
    model = of_folder("blend", "blend", files, tmp_path / "both", members)
    form = loaded_models.load(model, 1).form
    assert [member.matrix.weights.tolist() for member in form.members] == [[3.0], [5.0]]
    assert form.blending == blending
    size = Size(8, 4, 32, 10)
    parts = [loaded_models.needs(member, size) for member in members]
    needs = loaded_models.needs(model, size)
    assert needs.shared == sum(part.shared for part in parts) > 0
    assert needs.ranking > sum(part.ranking for part in parts) > 0


WORKER = """
import json, sys
import numpy as np
from pathlib import Path
from threadpoolctl import threadpool_info
import pyspark.worker
from recsys_spark.forms.form import Eligible
from recsys_spark.scoring import lists, loaded_models, stored_models
given = json.loads(sys.argv[1])
loaded_models.cap_threads(1)
blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
fetch = lambda version: Path(given["folder"])
model = stored_models.StoredModel("transitions", "item_item", given["version"], None, given["files"], 4, "", fetch)
form = loaded_models.load(model, 1).form
rank = form.ranking(Eligible(np.array([0, 0, 1, 1], np.int32), np.array([[0.0, 1.0]])))
best = rank({"items": np.array([[0, 2]], np.int32)})(np.array([0]), np.array([0]), 1, None)
print(json.dumps({"best": best.item_idx.tolist(), "blas": blas, "has_tensorflow": "tensorflow" in sys.modules}))
"""


def test_a_worker_of_transitions_imports_no_tensorflow_and_has_one_thread(tmp_path):
    files = item_item.save(tmp_path, {}, follows())
    arguments = {"folder": str(tmp_path), "version": folders.version_of(files), "files": files}
    done = subprocess.run(
        [sys.executable, "-c", WORKER, json.dumps(arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert (printed["best"], printed["has_tensorflow"]) == ([[3]], False)
    assert printed["blas"] and set(printed["blas"]) == {1}
