"""Cut the bytes of one text file into records, each with its fault if it has one. No Spark here."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, TextIO

from recsys_spark.sources.streams import Digest, FileFaultError, is_sound, opened_text, readable

MAX_FIELD_CHARS = 16 << 20


class Layout(NamedTuple):
    """How a feed's files are written, as the mapping says it; without `keep_raw` no text is ever quoted."""

    format: str
    delimiter: str
    quote: str | None
    header: str
    encoding: str
    fields: tuple[str, ...]
    names: tuple[str, ...]
    read: tuple[str, ...]
    separator: str
    max_record_lines: int
    keep_raw: bool


class Record(NamedTuple):
    """One record: a fault or None, its text, and the values of the columns that are read."""

    fault: str | None
    raw: str
    values: Sequence[str | None]


def records(digest: Digest, layout: Layout) -> Iterator[Record]:
    """Records of a text file in order, the header left out; blank lines are no records.

    Raises:
        FileFaultError: the header differs, the gzip is cut short, a quote never ends.
    """
    with opened_text(digest, layout.encoding) as text:
        yield from _json_records(text, layout) if layout.format == "jsonl" else _split_records(text, layout)


def _split_records(text: TextIO, layout: Layout) -> Iterator[Record]:
    cut = _csv_rows if len(layout.delimiter) == 1 else _long_delimiter_rows
    rows = cut(text, layout)
    if layout.header != "no":
        _check_header(next(rows, None), layout)
    positions = [layout.names.index(name) for name in layout.read]
    blank = (None,) * len(positions)
    width = len(layout.fields)
    for fault, raw, row, line in rows:
        if fault is None and len(row) != width:
            if raw.count("\n") > 1 and layout.quote:
                raise _unbalanced(line - raw.count("\n") + 1)
            fault = "wrong_column_count"
        if not raw.isascii() and not is_sound(raw):
            fault, raw = "invalid_utf8", readable(raw)
        raw = raw.rstrip("\r\n")
        yield Record(fault, raw, blank if fault else [row[position] or None for position in positions])


Row = tuple[str | None, str, list[str], int]  # fault, text, cells, number of its last line


def _csv_rows(text: TextIO, layout: Layout) -> Iterator[Row]:
    taken: list[str] = []
    num_lines = 0

    def lines() -> Iterator[str]:
        nonlocal num_lines
        for num_lines, line in enumerate(text, 1):
            taken.append(line)
            if len(taken) > layout.max_record_lines:
                raise FileFaultError(
                    "file_record_too_long",
                    f"a quoted record spans more than {layout.max_record_lines} lines "
                    f"(ingest.max_record_lines), from line {num_lines - layout.max_record_lines} on",
                )
            yield line

    csv.field_size_limit(MAX_FIELD_CHARS)
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if layout.quote else csv.QUOTE_NONE
    reader = csv.reader(
        lines(), delimiter=layout.delimiter, quotechar=layout.quote, quoting=quoting, strict=True
    )
    while True:
        fault = None
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if len(taken) > 1 or str(error) == "unexpected end of data":
                raise _unbalanced(num_lines - len(taken) + 1) from None
            row, fault = ["?"], "malformed_quotes"
        raw = "".join(taken)
        taken.clear()
        if row:
            yield fault, raw, row, num_lines


def _long_delimiter_rows(text: TextIO, layout: Layout) -> Iterator[Row]:
    for number, line in enumerate(text, 1):
        if bare := line.rstrip("\r\n"):
            yield None, line, bare.split(layout.delimiter), number


def _json_records(text: TextIO, layout: Layout) -> Iterator[Record]:
    blank = (None,) * len(layout.read)
    # Numbers keep their digits: an id 007.0 or 12345678901234567890 must arrive unchanged.
    decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
    for line in text:
        raw = line.rstrip("\r\n")
        if not raw.strip():
            continue
        fault: str | None = None
        values: Sequence[str | None] = blank
        if not raw.isascii() and not is_sound(raw):
            fault, raw = "invalid_utf8", readable(raw)
        else:
            try:
                content = decoder.decode(raw)
            except (json.JSONDecodeError, RecursionError):
                fault = "not_json"
            else:
                if isinstance(content, dict):
                    values = [_as_text(content.get(name), layout.separator) for name in layout.read]
                    if any(v is not None and not is_sound(v) for v in values):
                        fault, values = "invalid_utf8", blank
                else:
                    fault = "not_a_json_object"
        yield Record(fault, raw, values)


def _as_text(value: Any, separator: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return separator.join(value)
    return json.dumps(value, ensure_ascii=False)


def _check_header(first: Row | None, layout: Layout) -> None:
    fields = layout.fields
    expected = f"expected {','.join(fields)}"
    if first is None:
        raise FileFaultError(
            "file_empty", f"no header line, {expected}; an empty delivery still has its header"
        )
    got = readable(",".join(first[2]))[:200] if layout.keep_raw else f"{len(first[2])} columns"
    if first[0] is not None or tuple(first[2]) != fields:
        same = sorted(first[2]) == sorted(fields)
        reason = "file_swapped_header" if same else "file_wrong_header"
        raise FileFaultError(
            reason, f"header {'in another order' if same else 'differs'}: {expected}, got {got}"
        )


def _unbalanced(line: int) -> FileFaultError:
    return FileFaultError(
        "file_unbalanced_quote", f"a quote is not closed in the record that begins at line {line}"
    )
