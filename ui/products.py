"""Lists of products as people paste them: one per line, or JSON or CSV with a brand, a price and a category."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

# Names of columns by our own keys, which are in the order of a product's text.
_NAMES = {
    "title": ("title", "name", "product", "product name", "product_name", "标题", "名称", "商品", "商品名称", "商品名"),
    "brand": ("brand", "maker", "品牌"),
    "category": ("category", "类别", "分类", "类目", "品类"),
    "price": ("price", "价格", "售价"),
}
_KEY = {name: key for key, names in _NAMES.items() for name in names}
# "[Sale] Red shoes" is a product's name, not JSON.
_JSON = re.compile(r'\s*(\[\s*[\[{"\]]|\{\s*["}])')


class NotProducts(ValueError):
    """Broken JSON or CSV, or JSON without a list. The message tells the place."""


class Product(NamedTuple):
    """`title` is the name alone. `text` is read by the engine and shown."""

    title: str
    text: str


def parse(pasted: str) -> list[Product]:
    """Products of a pasted text. Raises NotProducts."""
    pasted = pasted.lstrip("\ufeff")
    if _JSON.match(pasted):
        return [_product(entry) for entry in _entries(pasted)]
    if rows := _csv_rows(pasted):
        return [_product(row) for row in rows]
    return [Product(line, line) for line in map(str.strip, pasted.splitlines()) if line]


def _entries(pasted: str) -> list[Any]:
    """Entries of a JSON list, of an object that holds one list, or of JSON Lines. Raises NotProducts."""
    try:
        found = json.loads(pasted)
    except (json.JSONDecodeError, RecursionError) as error:
        lines = [line for line in pasted.splitlines() if line.strip()]
        try:
            if len(lines) > 1 and all(line.lstrip().startswith("{") for line in lines):
                return [json.loads(line) for line in lines]
        except (json.JSONDecodeError, RecursionError):
            pass
        raise NotProducts(f"JSON: {error}") from None
    if isinstance(found, dict):
        lists = [value for value in found.values() if isinstance(value, list)]
        return lists[0] if len(lists) == 1 and all(isinstance(entry, dict) for entry in lists[0]) else [found]
    if not isinstance(found, list):
        raise NotProducts("JSON: expected a list of products")
    return found


def _csv_rows(pasted: str) -> list[dict[str, str]]:
    """Rows below a header with a title and another known column. Without such a header, no rows. Raises NotProducts."""
    header = pasted.lstrip().partition("\n")[0]
    for delimiter in ",\t;|":
        columns = next(csv.reader([header], delimiter=delimiter), [])
        keys = [_KEY.get(column.strip().lower()) for column in columns]
        if "title" in keys and len(columns) > 1 and len([key for key in keys if key]) > 1:
            reader = csv.reader(io.StringIO(pasted.lstrip(), newline=""), delimiter=delimiter)
            next(reader)
            try:
                return [dict(zip(columns, row, strict=False)) for row in reader if any(cell.strip() for cell in row)]
            except csv.Error as error:
                raise NotProducts(f"CSV: line {reader.line_num}: {error}") from None
    return []


def _product(entry: Any) -> Product:
    if not isinstance(entry, Mapping):
        text = _plain(entry)
        return Product(text, text)
    fields = dict(_fields(entry))
    title = fields.get("title", "")
    known = [f"{key}: {fields[key]}" for key in _NAMES if key != "title" and key in fields]
    others = [f"{key}: {value}" for key, value in fields.items() if key not in _NAMES]
    text = "\n".join([*([title] if title else []), *known, *others])
    return Product(title or text.partition("\n")[0], text)


def _fields(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and texts of an entry's fields. Known columns get our own key. The first column of a key counts."""
    seen = set()
    for name, value in entry.items():
        key = _KEY.get(name.strip().lower(), name.strip())
        text = _plain(value)
        if text and key not in seen:
            seen.add(key)
            yield key, text


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).strip()
