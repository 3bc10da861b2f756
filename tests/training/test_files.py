"""Files are read on local disk, on an S3 store by pyarrow's client, and on what only fsspec knows."""

from __future__ import annotations

import datetime as dt
import io
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from recsys_spark.errors import BadDataError, LakeError
from recsys_spark.forms.item_tower import Columns
from recsys_spark.tables import DataFile
from recsys_spark.training import files
from recsys_spark.training.columns import ColumnType
from recsys_spark.training.lessons import Lesson, ValidationFiles, what_lacks
from recsys_spark.training.petastorm_adapter import RowGroup, read_row_groups


def content(numbers: list[int]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"n": numbers}), buffer, row_group_size=1)
    return buffer.getvalue()


def read(*groups: tuple[str, int]) -> list[list[int]]:
    wanted = [RowGroup(uri, number, 1) for uri, number in groups]
    return [part["n"].tolist() for part in read_row_groups(wanted, {"n": ColumnType("int64")}, 2, {})]


class Bucket(BaseHTTPRequestHandler):
    """The two requests of the S3 protocol that reading needs: HEAD and a ranged GET."""

    protocol_version = "HTTP/1.1"
    objects: ClassVar[dict[str, bytes]] = {}

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        whole = self.objects.get(unquote(urlsplit(self.path).path))
        body, status = (whole, 200) if whole is not None else (b"", 404)
        if match := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
            body, status = body[int(match[1]) : int(match[2]) + 1], 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {match[1]}-{match[2]}/{len(whole or b'')}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(Bucket, "objects", {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"scheme=http&region=us-east-1&endpoint_override=127.0.0.1%3A{server.server_port}"
    server.shutdown()
    server.server_close()


class ObjectStore(MemoryFileSystem):
    """Flat keys under a protocol of its own; counts how many objects are opened at a time."""

    protocol = "objects"
    store: ClassVar[dict[str, object]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    together: threading.Barrier | None = None

    def _open(self, path: str, mode: str = "rb", **options: object) -> object:
        if self.together:
            self.together.wait()
        return super()._open(path, mode, **options)


@pytest.mark.parametrize("scheme", ["s3", "s3a"])
def test_row_groups_come_from_an_s3_store(bucket: str, scheme: str) -> None:
    Bucket.objects = {
        "/lake/run_date=2024-03-01/part-0.parquet": content([1, 2]),
        "/lake/b.parquet": content([3]),
    }
    a = f"{scheme}://lake/run_date=2024-03-01/part-0.parquet?{bucket}"
    b = f"{scheme}://lake/b.parquet?{bucket}"
    assert read((a, 1), (b, 0), (a, 0)) == [[2], [3], [1]]
    with pytest.raises(BadDataError, match=r"c\.parquet.*: cannot be read: no such file"):
        read((f"{scheme}://lake/c.parquet?{bucket}", 0))


def test_a_client_is_made_once_for_a_bucket(bucket: str) -> None:
    one, path = files.located(f"s3a://lake/a/b.parquet?{bucket}")
    assert path == "lake/a/b.parquet"
    assert files.located(f"s3://lake/c.parquet?{bucket}")[0] is one


def test_row_groups_come_from_what_only_fsspec_knows() -> None:
    fsspec.register_implementation("objects", ObjectStore, clobber=True)
    for uri in ("memory://lake/part-0.parquet", "objects://lake/part-0.parquet"):
        with fsspec.open(uri, "wb") as file:
            file.write(content([1, 2, 3]))
        assert read((uri, 2), (uri, 0)) == [[3], [1]]
    with pytest.raises(BadDataError, match=r"objects://lake/part-1\.parquet: cannot be read: no such file"):
        read(("objects://lake/part-1.parquet", 0))


def test_local_names_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "run date=1 ü.parquet"
    path.write_bytes(content([7]))
    assert "%20" in path.as_uri()
    assert read((path.as_uri(), 0)) == [[7]]


def test_footers_are_read_at_the_same_time() -> None:
    fsspec.register_implementation("objects", ObjectStore, clobber=True)
    uris = [f"objects://lake/{i}.parquet" for i in range(8)]
    for i, uri in enumerate(uris):
        with fsspec.open(uri, "wb") as file:
            file.write(content([i]))
    footers: dict[str, object] = {}
    ObjectStore.together = threading.Barrier(8, timeout=20)  # broken, and an error, if fewer than 8 come
    try:
        reading = read_row_groups(
            [RowGroup(uri, 0, 1) for uri in uris], {"n": ColumnType("int64")}, 8, footers
        )
        assert [part["n"].tolist() for part in reading] == [[i] for i in range(8)]
    finally:
        ObjectStore.together = None
    assert sorted(footers) == uris


def test_an_unknown_scheme_is_named() -> None:
    with pytest.raises(LakeError, match=r"nowhere://lake/a\.parquet: no file system for nowhere"):
        read(("nowhere://lake/a.parquet", 0))


def test_a_scheme_whose_package_is_missing_says_which_to_install() -> None:
    with pytest.raises(LakeError, match=r"no file system for box: .*boxfs"):
        files.located("box://lake/a.parquet")


def of(
    name: str, twin: list[DataFile], published: list[DataFile] | None = None
) -> dict[str, dict[str, Lesson]]:
    parts = {"twin": twin, "published": twin if published is None else published}
    columns, end = Columns([], [], []), dt.datetime(2024, 3, 1)
    return {name: {role: Lesson(files, None, pa.table({}), columns, end) for role, files in parts.items()}}


def written(name: str, rows: pa.Table) -> DataFile:
    uri = f"memory://lake/{name}.parquet"
    with fsspec.open(uri, "wb") as file:
        pq.write_table(rows, file)
    return DataFile(uri, (rows.num_rows,))


WINDOWS = pa.table({"window": [1, 0, 0]})
SOMEBODY = ValidationFiles(pa.table({"user_idx": [2]}), [], [])


def test_training_users_are_counted_on_what_only_fsspec_knows() -> None:
    windows = written("windows", WINDOWS)
    assert what_lacks(of("x", [windows]), SOMEBODY, 3) == "x_twin_users=2 min_train_users=3"
    assert what_lacks(of("x", [windows]), SOMEBODY, 2) is None
    gone = DataFile("memory://lake/gone.parquet", (3,))
    with pytest.raises(BadDataError, match=r"memory://lake/gone\.parquet: cannot be read: no such file"):
        what_lacks(of("x", [gone]), SOMEBODY, 3)


def test_both_roles_of_every_recommender_need_users_and_of_other_examples_each_row_is_one() -> None:
    windows, bags = written("windows", WINDOWS), written("bags", pa.table({"user_idx": [2, 3, 4]}))
    few = written("few", pa.table({"user_idx": [2]}))
    assert what_lacks(of("x", [bags]), None, 3) is None
    assert what_lacks(of("x", [windows]) | of("y", [bags]), None, 2) is None
    assert (
        what_lacks(of("x", [windows]) | of("y", [bags], [few]), None, 2)
        == "y_published_users=1 min_train_users=2"
    )


def test_who_learns_from_no_examples_needs_no_users_of_them() -> None:
    assert what_lacks(of("x", []), None, 9) is None


def test_where_something_is_chosen_somebody_must_be_there_to_choose_on() -> None:
    nobody = ValidationFiles(pa.table({"user_idx": pa.array([], pa.int32())}), [], [])
    windows = written("windows", WINDOWS)
    assert what_lacks(of("x", [windows]), nobody, 2) == "valid_users=0"
    assert what_lacks(of("x", [windows]), None, 2) is None
