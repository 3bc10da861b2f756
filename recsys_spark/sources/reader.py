"""Read a feed's files side by side, one file a task, into a frame of text columns.

Columns that begin with two underscores are about the record; the others are the source's own.
Record 0 stands for the file itself: its sha256, size, number of records, and fault if it has one.
Parquet goes the same way as text, so that record numbers, checksums and faults mean the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from recsys_spark.python_tasks import through_python
from recsys_spark.sources.feed import Feed
from recsys_spark.sources.files import SourceFile, opened
from recsys_spark.sources.records import Layout, records
from recsys_spark.sources.streams import Digest, FileFaultError

BATCH_RECORDS = 10_000
ABOUT = (
    "__file string, __record long, __fault string, __raw string, "
    "__sha256 string, __num_bytes long, __num_parsed long"
)


def read_feed(
    spark: SparkSession, files: Sequence[SourceFile], feed: Feed, *, max_record_lines: int, keep_raw: bool
) -> DataFrame:
    """Records of the files: the columns of ABOUT, and every column in `feed.read` as text.

    What the mapping does not read never leaves the worker. A file that cannot be read to its
    end gives a row 0 with the fault; the records before the fault must then be thrown away.
    """
    layout = Layout(
        format=feed.format,
        delimiter="\t" if feed.format == "tsv" else feed.delimiter,
        quote=None if feed.format == "tsv" else feed.quote,
        header=feed.header,
        encoding=feed.encoding,
        fields=feed.fields,
        names=feed.names,
        read=feed.read,
        separator=feed.categories_separator,
        max_record_lines=max_record_lines,
        keep_raw=keep_raw,
    )
    schema = ", ".join([ABOUT, *(f"`{name.replace('`', '``')}` string" for name in feed.read)])
    wanted = list(files)

    def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield from file_batches(wanted[number], layout)

    return through_python(spark.range(0, len(wanted), 1, max(1, len(wanted))), work, schema)


def file_batches(file: SourceFile, layout: Layout) -> Iterator[pa.RecordBatch]:
    """Record batches of one file, the last one being its row 0."""
    num_parsed, fault, detail, sha256, num_bytes = 0, None, None, None, None
    filesystem, path = opened(file.uri)
    try:
        with filesystem.open_input_stream(path, compression=None) as stream:
            digest = Digest(stream)
            try:
                cut = _parquet if layout.format == "parquet" else _text
                for faults, raws, columns in cut(digest, filesystem, path, layout):
                    numbers = range(num_parsed + 1, num_parsed + len(faults) + 1)
                    num_parsed += len(faults)
                    yield _batch(
                        file.name, numbers, faults, raws if layout.keep_raw else None, columns, layout
                    )
            except FileFaultError as problem:
                fault, detail = problem.reason, problem.detail
            sha256, num_bytes = digest.sha256(), digest.num_bytes
    except OSError as problem:
        fault, detail = "file_unreadable", str(problem)
    yield _batch(
        file.name,
        [0],
        [fault],
        [detail],
        [[None]] * len(layout.read),
        layout,
        (sha256, num_bytes, num_parsed),
    )


Chunk = tuple[Any, Any, Sequence[Any]]


def _text(digest: Digest, _filesystem: Any, _path: str, layout: Layout) -> Iterator[Chunk]:
    cut = records(digest, layout)
    while True:
        # Column by column: rows kept in lists of lists would keep the garbage collector busy (half the time).
        faults: list[str | None] = []
        raws: list[str] = []
        columns: list[list[str | None]] = [[] for _ in layout.read]
        for fault, raw, values in itertools.islice(cut, BATCH_RECORDS):
            faults.append(fault)
            raws.append(raw)
            for column, value in zip(columns, values, strict=True):
                column.append(value)
        if not faults:
            return
        yield faults, raws, columns


def _parquet(_digest: Digest, filesystem: Any, path: str, layout: Layout) -> Iterator[Chunk]:
    try:
        with pq.ParquetFile(path, filesystem=filesystem) as file:
            missing = [name for name in layout.read if name not in file.schema_arrow.names]
            if missing:
                got = ",".join(file.schema_arrow.names)
                raise FileFaultError("file_wrong_header", f"no column {','.join(missing)}, got {got[:200]}")
            for batch in file.iter_batches(BATCH_RECORDS, columns=list(layout.read)):
                columns = [_as_text(batch.column(name), name, layout.separator) for name in layout.read]
                blank = pa.nulls(batch.num_rows, pa.string())
                yield blank, blank, columns
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise FileFaultError(
            "file_damaged", f"not a sound Parquet file: {' '.join(str(error).split())}"
        ) from None


def _as_text(column: Any, name: str, separator: str) -> Any:
    kind = column.type
    if pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
        return pc.binary_join(column, separator)
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        raise FileFaultError(
            "file_wrong_header", f"column {name} is {kind}, expected text, a number, a time or texts"
        )
    return pc.cast(column, pa.string())


def _batch(
    name: str,
    numbers: Sequence[int],
    faults: Any,
    raws: Any,
    columns: Sequence[Any],
    layout: Layout,
    about_file: tuple[str | None, int | None, int | None] = (None, None, None),
) -> pa.RecordBatch:
    size = len(numbers)
    sha256, num_bytes, num_parsed = about_file
    arrays = {
        "__file": pa.repeat(pa.scalar(name), size),
        "__record": pa.array(numbers, pa.int64()),
        "__fault": _strings(faults),
        "__raw": pa.nulls(size, pa.string()) if raws is None else _strings(raws),
        "__sha256": pa.repeat(pa.scalar(sha256, pa.string()), size),
        "__num_bytes": pa.repeat(pa.scalar(num_bytes, pa.int64()), size),
        "__num_parsed": pa.repeat(pa.scalar(num_parsed, pa.int64()), size),
    }
    arrays |= {f: _strings(column) for f, column in zip(layout.read, columns, strict=True)}
    return pa.RecordBatch.from_pydict(arrays)


def _strings(values: Any) -> Any:
    return values if isinstance(values, pa.Array) else pa.array(values, pa.string())
