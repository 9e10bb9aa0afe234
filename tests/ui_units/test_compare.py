"""BM25 beside the engine: shared words, places, and the moves between the lists."""

import re

from ui.compare import bm25, drawn, places, words

TEXTS = ["wireless noise cancelling headphones", "a wireless mouse", "无线降噪耳机 头戴式", "有线耳机"]


def test_the_text_with_the_querys_rarer_words_scores_highest() -> None:
    scores = bm25("wireless headphones", TEXTS)
    assert scores[0] > scores[1] > scores[2] == scores[3] == 0


def test_chinese_is_matched_by_pairs_of_characters() -> None:
    assert words("买iPhone手机壳 5G") == ["买", "iphone", "手机", "机壳", "5g"]
    scores = bm25("降噪耳机", TEXTS)
    assert scores[2] > scores[3] > scores[0] == 0


def test_words_nobody_has_score_nothing() -> None:
    for query, texts in (("boat", TEXTS), ("!?", TEXTS), ("boat", ["!", ""]), ("boat", [])):
        assert bm25(query, texts) == [0.0] * len(texts)


def test_each_text_has_its_way_from_the_other_list() -> None:
    assert [(place.item, place.rank, place.moved) for place in places([0.1, 0.9, 0.5], [3.0, 1.0, 2.0])] == [
        (1, 1, 2),
        (2, 2, 0),
        (0, 3, -2),
    ]


def test_the_drawing_has_a_line_for_each() -> None:
    drawing = drawn(places([0.1, 0.9, 0.5], [3.0, 1.0, 2.0]))
    assert re.findall(r'y1="(\d+)".*?y2="(\d+)".*?class="(\w+)"', drawing) == [
        ("25", "5", "up"),
        ("15", "15", "same"),
        ("5", "25", "down"),
    ]
