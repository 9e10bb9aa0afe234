"""Results as files: JSON as it is, CSV that a spreadsheet opens in UTF-8 and takes no cell of for a formula."""

import csv
import io
import json
from collections.abc import Mapping, Sequence

Row = Mapping[str, object]

# https://owasp.org/www-community/attacks/CSV_Injection, with what spreadsheets read as the same.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def as_json(rows: Sequence[Row]) -> bytes:
    return json.dumps(list(rows), ensure_ascii=False, indent=2).encode()


def as_csv(rows: Sequence[Row]) -> bytes:
    """A column for every key, in the order in which they first appear."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(dict.fromkeys(key for row in rows for key in row)))
    writer.writerow({key: _harmless(key) for key in writer.fieldnames})
    writer.writerows({key: _harmless(value) for key, value in row.items()} for row in rows)
    # With the mark at the beginning: without it Excel reads Chinese in the machine's own code page.
    return out.getvalue().encode("utf-8-sig")


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
