"""Lists of products are read from lines, JSON and CSV."""

import json

import pytest

from ui.products import NotProducts, Product, parse

RECORDS = [
    {"name": "Red mug", "price": 9.5, "brand": "Café", "tags": ["a", "b"], "category": None},
    {"title": "蓝色杯子", "brand": "茶", "price": "¥20", "category": "厨房"},
]
READ = [
    Product("Red mug", 'Red mug\nbrand: Café\nprice: 9.5\ntags: ["a", "b"]'),
    Product("蓝色杯子", "蓝色杯子\nbrand: 茶\ncategory: 厨房\nprice: ¥20"),
]


def test_one_product_per_line() -> None:
    names = ["Red mug, large", "[Sale] Blue mug", "{weird", "12"]
    assert parse("\n" + "\n\n  ".join(names) + "\r\n") == [Product(name, name) for name in names]
    assert parse(" \n ") == []


@pytest.mark.parametrize(
    "pasted",
    [
        json.dumps(RECORDS),
        json.dumps({"total": 2, "products": RECORDS}, ensure_ascii=False, indent=2),
        "\n".join(json.dumps(record) for record in RECORDS),
    ],
    ids=["list", "object", "lines"],
)
def test_json_with_a_products_fields(pasted: str) -> None:
    assert parse(pasted) == READ


def test_json_of_names_or_of_one_product() -> None:
    assert parse('["a", "b"]') == [Product("a", "a"), Product("b", "b")]
    assert parse('{"title": "a"}') == [Product("a", "a")]


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_csv_with_a_header(delimiter: str) -> None:
    rows = [("商品", "Brand", "价格"), ("Red mug", '"A ""B"" C"', "9"), ('"two\nlines"', "", ""), ("", "", "")]
    pasted = "\ufeff" + "\r\n".join(delimiter.join(row) for row in rows)
    assert parse(pasted) == [
        Product("Red mug", 'Red mug\nbrand: A "B" C\nprice: 9'),
        Product("two\nlines", "two\nlines"),
    ]


@pytest.mark.parametrize("pasted", ['[{"title": "a"', '{"title": }', '[{"a": 1}] x', "[" * 100_000])
def test_broken_json_is_told_and_where(pasted: str) -> None:
    with pytest.raises(NotProducts, match="JSON"):
        parse(pasted)
