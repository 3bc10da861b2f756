"""One file's bytes to records: no Spark, no network, literal bytes in."""

from __future__ import annotations

import gzip
import hashlib
import io
from typing import Any

import pytest

from recsys_spark.sources.records import Layout, records
from recsys_spark.sources.streams import Digest, FileFaultError

CSV = Layout(
    format="csv",
    delimiter=",",
    quote='"',
    header="yes",
    encoding="utf-8",
    fields=("id", "title", "n"),
    names=("id", "title", "n"),
    read=("id", "title"),
    separator="|",
    max_record_lines=5,
    keep_raw=True,
)


def read(data: bytes, **changes: Any) -> list[tuple[Any, ...]]:
    return [(r.fault, *r.values) for r in records(Digest(io.BytesIO(data)), CSV._replace(**changes))]


def fault(data: bytes, **changes: Any) -> FileFaultError:
    with pytest.raises(FileFaultError) as error:
        read(data, **changes)
    return error.value


def test_odd_ids_arrive_unchanged():
    data = 'id,title,n\n007,"a, b",1\n a b ,😀é,2\n"say ""hi""",x,3\n'.encode()
    assert read(data) == [(None, "007", "a, b"), (None, " a b ", "😀é"), (None, 'say "hi"', "x")]


def test_a_newline_inside_quotes_is_one_good_row():
    assert read(b'id,title,n\r\n1,"two\r\nlines",5\r\n2,b,6\r\n') == [
        (None, "1", "two\r\nlines"),
        (None, "2", "b"),
    ]


def test_a_byte_order_mark_and_blank_lines_are_no_data():
    assert read(b"\xef\xbb\xbfid,title,n\n\n1,a,5\n\n") == [(None, "1", "a")]


def test_an_empty_field_is_null():
    assert read(b'id,title,n\n,"",5\n') == [(None, None, None)]


def test_a_record_with_another_number_of_columns_is_a_fault_of_that_record_only():
    assert read(b"id,title,n\n1,a\n2,b,6\n3,c,7,8\n") == [
        ("wrong_column_count", None, None),
        (None, "2", "b"),
        ("wrong_column_count", None, None),
    ]


def test_invalid_utf8_is_a_fault_whose_text_shows_the_bytes():
    cut = list(records(Digest(io.BytesIO(b"id,title,n\n1,caf\xe9,5\n2,b,6\n")), CSV))
    assert (cut[0].fault, cut[0].raw) == ("invalid_utf8", "1,caf\\xe9,5")
    assert cut[1].values == ["2", "b"]


def test_latin_1_is_read_as_latin_1_when_the_mapping_says_so():
    assert read(b"id,title,n\n1,caf\xe9,5\n", encoding="latin-1") == [(None, "1", "café")]


def test_text_after_a_closing_quote_is_a_fault_of_that_record():
    assert read(b'id,title,n\n1,"a"b,5\n2,b,6\n') == [("malformed_quotes", None, None), (None, "2", "b")]


def test_a_swapped_header_fails_the_file():
    refused = fault(b"title,id,n\na,1,5\n")
    assert refused.reason == "file_swapped_header"
    assert "expected id,title,n, got title,id,n" in refused.detail


def test_an_unknown_header_fails_the_file():
    assert fault(b"id,name,n\n1,a,5\n").reason == "file_wrong_header"


def test_an_empty_file_fails_where_a_header_must_be():
    assert fault(b"").reason == "file_empty"


def test_a_header_alone_is_no_rows_and_no_fault():
    assert read(b"id,title,n\n") == []


def test_an_empty_file_without_header_is_no_rows_and_no_fault():
    assert read(b"", header="no") == []


@pytest.mark.parametrize("rest", [b"", b"2,b,6\n", b'2,b,6\n3,"c",7\n', b'2,b,"\n'])
def test_an_unbalanced_quote_fails_the_file(rest):
    refused = fault(b'id,title,n\n1,"a,5\n' + rest)
    assert refused.reason == "file_unbalanced_quote"
    assert "line 2" in refused.detail


def test_a_record_over_max_record_lines_fails_the_file():
    refused = fault(b'id,title,n\n1,"a\n' + b"x\n" * 5 + b'",5\n')
    assert refused.reason == "file_record_too_long"
    assert "5 lines" in refused.detail


def test_a_record_of_exactly_max_record_lines_is_good():
    assert read(b'id,title,n\n1,"a\nb\nc\nd\ne",5\n') == [(None, "1", "a\nb\nc\nd\ne")]


def test_gzip_is_unpacked_whatever_the_name():
    assert read(gzip.compress(b"id,title,n\n1,a,5\n")) == [(None, "1", "a")]


def test_a_truncated_gzip_fails_the_file():
    packed = gzip.compress(b"id,title,n\n" + b"".join(b"%d,a%d,5\n" % (i, i * i) for i in range(20_000)))
    assert fault(packed[: len(packed) // 2]).reason == "file_truncated"


def test_a_damaged_gzip_fails_the_file():
    packed = bytearray(
        gzip.compress(b"id,title,n\n" + b"".join(b"%d,a%d,5\n" % (i, i * i) for i in range(9999)))
    )
    packed[-6] ^= 0xFF  # its checksum
    assert fault(bytes(packed)).reason == "file_damaged"


def test_a_long_delimiter_cuts_without_quotes():
    data = b'1::say "hi", you::5\n2::b\n'
    assert read(data, delimiter="::", header="no") == [
        (None, "1", 'say "hi", you'),
        ("wrong_column_count", None, None),
    ]


def test_tabs_and_quotes_are_plain_text_without_a_quote_character():
    assert read(b'1\t"a\t5\n', delimiter="\t", quote=None, header="no") == [(None, "1", '"a')]


def test_a_typed_header_must_be_the_expected_one():
    typed = {"header": "typed", "fields": ("id:token", "title:token_seq"), "names": ("id", "title")}
    assert read(b"id:token,title:token_seq\n1,a\n", **typed) == [(None, "1", "a")]
    assert fault(b"id:float,title:token_seq\n1,a\n", **typed).reason == "file_wrong_header"


def test_json_lines_keep_digits_and_join_lists():
    data = b'{"id": 17850.0, "title": ["b", "a"], "n": 1}\n{"title": true}\n'
    assert read(data, format="jsonl") == [(None, "17850.0", "b|a"), (None, None, "true")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{oops}", "not_json"),
        (b"[1, 2]", "not_a_json_object"),
        (b'{"id": "\xff"}', "invalid_utf8"),
        (b'{"id": "\\ud800"}', "invalid_utf8"),
    ],
)
def test_a_bad_json_line_is_a_fault_of_that_record_only(line, reason):
    assert read(line + b'\n{"id": "2"}\n', format="jsonl") == [(reason, None, None), (None, "2", None)]


def test_no_record_text_is_quoted_in_faults_when_pseudonyms_are_on():
    assert "4711" not in fault(b"4711,a,5\n", keep_raw=False).detail
    assert "4711" not in fault(b'id,title,n\n4711,"a,5\n', keep_raw=False).detail


def test_the_checksum_is_of_the_bytes_as_they_lie_even_after_a_fault():
    data = gzip.compress(b"title,id,n\n" + b"x" * 100_000)
    digest = Digest(io.BytesIO(data))
    with pytest.raises(FileFaultError):
        list(records(digest, CSV))
    assert digest.sha256() == hashlib.sha256(data).hexdigest()
    assert digest.num_bytes == len(data)
