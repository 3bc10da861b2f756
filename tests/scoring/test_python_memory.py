"""What Spark's settings leave for Python, worked out by hand."""

from pathlib import Path

import pytest

from recsys_spark.errors import SettingsError
from recsys_spark.scoring.python_memory import machine, room

GIB, MIB = 1 << 30, 1 << 20


def test_local_mode_has_what_the_heap_and_the_jvm_leave_of_the_machine():
    made = room({"spark.master": "local[4]", "spark.driver.memory": "2g"}, 16 * GIB, 8, 4)
    assert made.num_bytes == 14 * GIB - 768 * MIB
    assert (made.num_workers, made.num_cores) == (4, 4)
    assert made.each is None
    assert made.is_shared_once


def test_local_mode_runs_as_many_tasks_as_the_master_says_on_any_machine():
    assert room({"spark.master": "local[8]"}, 16 * GIB, 4, 8).num_workers == 8


def test_a_machine_smaller_than_the_heap_has_nothing_left():
    assert room({"spark.master": "local[1]", "spark.driver.memory": "9g"}, 8 * GIB, 8, 1).num_bytes == 0


def test_a_standalone_executor_takes_the_cores_of_its_machine_unless_told():
    conf = {"spark.master": "spark://head:7077", "spark.executor.memory": "4g"}
    made = room(conf, 16 * GIB, 8, 40)
    assert (made.num_workers, made.num_bytes) == (8, 12 * GIB - 768 * MIB)
    assert room({**conf, "spark.executor.cores": "3"}, 16 * GIB, 8, 40).num_workers == 3
    assert room(conf, 16 * GIB, 8, 2).num_workers == 2


def test_a_container_has_a_tenth_of_the_heap_and_at_least_384_mib():
    conf = {"spark.master": "yarn", "spark.executor.memory": "20g", "spark.executor.cores": "4"}
    made = room(conf, 99 * GIB, 64, 16)
    assert (made.num_bytes, made.num_workers) == (2 * GIB, 4)
    assert made.source == "spark.executor.memoryOverhead"
    assert room({**conf, "spark.executor.memory": "2g"}, 99 * GIB, 64, 16).num_bytes == 384 * MIB
    assert room({**conf, "spark.executor.memoryOverheadFactor": "0.5"}, 0, 1, 1).num_bytes == 10 * GIB
    assert room({**conf, "spark.executor.memoryOverhead": "3072"}, 0, 1, 1).num_bytes == 3 * GIB


def test_kubernetes_has_a_factor_of_its_own_and_counts_shared_files_once():
    conf = {"spark.master": "k8s://https://x", "spark.executor.memory": "5g"}
    made = room({**conf, "spark.kubernetes.memoryOverheadFactor": "0.4"}, 0, 64, 8)  # and one core, untold
    assert (made.num_bytes, made.num_workers, made.is_shared_once) == (2 * GIB, 1, True)
    assert not room({"spark.master": "yarn"}, 0, 1, 8).is_shared_once


def test_pyspark_memory_wins_over_the_overhead_and_limits_each_worker():
    conf = {"spark.master": "yarn", "spark.executor.pyspark.memory": "8g", "spark.executor.cores": "4"}
    made = room({**conf, "spark.executor.memoryOverhead": "1g"}, 0, 1, 8)
    assert (made.num_bytes, made.each, made.source) == (8 * GIB, 2 * GIB, "spark.executor.pyspark.memory")


def test_in_local_mode_pyspark_memory_is_allowed_to_each_worker_undivided():
    conf = {"spark.master": "local[4]", "spark.executor.pyspark.memory": "3g"}
    assert room(conf, 16 * GIB, 4, 4).each == 3 * GIB


def test_tasks_of_several_cores_are_fewer_workers():
    conf = {"spark.master": "local[*]", "spark.task.cpus": "2"}
    assert room(conf, 16 * GIB, 8, 8).num_workers == 4
    assert room({**conf, "spark.task.cpus": "9"}, 16 * GIB, 8, 8).num_workers == 1


def test_the_setting_wins_over_everything():
    conf = {"spark.master": "yarn", "spark.executor.pyspark.memory": "8g"}
    made = room(conf, 0, 1, 8, "512m")
    assert (made.num_bytes, made.source) == (512 * MIB, "recommend.python_memory")


def test_a_size_that_is_none_is_refused_by_name():
    with pytest.raises(SettingsError, match=r"spark.driver.memory: expected a size such as .* got lots"):
        room({"spark.driver.memory": "lots"}, GIB, 1, 1)


@pytest.mark.parametrize(
    ("text", "num_bytes"), [("700", 700 * MIB), ("5KB", 5120), ("7b", 7), ("1t", 1 << 40)]
)
def test_sizes_are_read_as_spark_reads_them(text, num_bytes):
    conf = {"spark.master": "yarn", "spark.executor.memoryOverhead": text}
    assert room(conf, 0, 1, 1).num_bytes == num_bytes


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_limit_of_a_container_counts_and_the_nearest_is_not_always_the_least(tmp_path):
    whole = machine(tmp_path)[0]  # no limit here
    assert whole > GIB
    write(tmp_path / "proc/self/cgroup", "0::/jobs/night\n")
    write(tmp_path / "sys/fs/cgroup/jobs/night/memory.max", "max\n")
    assert machine(tmp_path)[0] == whole
    write(tmp_path / "sys/fs/cgroup/jobs/memory.max", f"{300 * MIB}\n")
    write(tmp_path / "sys/fs/cgroup/memory.max", f"{400 * MIB}\n")
    assert machine(tmp_path)[0] == 300 * MIB


def test_the_limit_of_the_older_control_groups_counts(tmp_path):
    write(tmp_path / "sys/fs/cgroup/memory/memory.limit_in_bytes", f"{200 * MIB}\n")
    assert machine(tmp_path)[0] == 200 * MIB
