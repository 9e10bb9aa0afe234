"""Exported files can be read again, and none of their cells is a formula."""

import csv
import io
import json

import pytest

from ui import exports

ROWS = [
    {"rank": 1, "score": 0.5, "content": 'Tee, "grün"\n茶'},
    {"rank": 2, "score": -0.25, "content": "=HYPERLINK(1)", "note": "kept"},
]


def read(data: bytes) -> list[dict[str, str]]:
    assert data.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def test_json_is_the_rows() -> None:
    assert json.loads(exports.as_json(ROWS)) == ROWS


def test_csv_is_the_rows_with_every_column() -> None:
    first, second = read(exports.as_csv(ROWS))
    assert first == {"rank": "1", "score": "0.5", "content": 'Tee, "grün"\n茶', "note": ""}
    assert second == {"rank": "2", "score": "-0.25", "content": "'=HYPERLINK(1)", "note": "kept"}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "＝"])
def test_no_text_is_a_formula(start: str) -> None:
    (row,) = read(exports.as_csv([{f"{start}key": f"{start}1+1"}]))
    assert row == {f"'{start}key": f"'{start}1+1"}


def test_nothing_can_be_exported_too() -> None:
    assert json.loads(exports.as_json([])) == []
    assert exports.as_csv([]).decode("utf-8-sig").strip() == ""
