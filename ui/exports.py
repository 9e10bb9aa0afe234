"""Results as files: JSON, and CSV that a spreadsheet reads as UTF-8 and without formulas."""

import csv
import io
import json
from collections.abc import Mapping, Sequence

Row = Mapping[str, object]

# First characters of a formula: https://owasp.org/www-community/attacks/CSV_Injection, and their full-width forms.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def as_json(rows: Sequence[Row]) -> bytes:
    return json.dumps(list(rows), ensure_ascii=False, indent=2).encode()


def as_csv(rows: Sequence[Row]) -> bytes:
    """Columns are all keys, in the order of their first appearance."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(dict.fromkeys(key for row in rows for key in row)))
    writer.writerow({key: _harmless(key) for key in writer.fieldnames})
    writer.writerows({key: _harmless(value) for key, value in row.items()} for row in rows)
    # Without the byte order mark Excel reads Chinese in the code page of the machine.
    return out.getvalue().encode("utf-8-sig")


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
