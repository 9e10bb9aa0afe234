"""A text is split where a reader would: abbreviations, numbers, lines, quotes and long sentences."""

import pytest

from gateway.domain import Span, SpanOptions
from gateway.steps.sentences import MAX_SENTENCE_CHARS, Sentence, join_relevant, sentences

ABBREVIATIONS = [
    *("Mr", "Mrs", "Ms", "Dr", "Prof", "Sr", "Jr", "St", "Mt", "Gen", "Col", "Sen", "Rep", "Rev", "Hon", "Capt", "Lt"),
    *("Inc", "Ltd", "Co", "Corp", "vs", "e.g", "i.e", "cf", "al", "figs", "ed", "eds", "approx", "est", "dept"),
    *("Jan", "Feb", "Mar", "Apr", "Jun", "Jul", "Aug", "Sep", "Sept", "Oct", "Nov", "Dec"),
]
NUMBERED = ["No", "Nos", "Fig", "p", "pp", "Eq", "vol", "ch", "sec"]


def split(text: str, limit: int = 10_000) -> list[str]:
    return [text[start:end] for start, end in sentences(text, limit)[0]]


@pytest.mark.parametrize("word", ABBREVIATIONS)
def test_an_abbreviation_ends_no_sentence(word: str) -> None:
    text = f"They met {word}. Smith there."
    assert split(text) == [text]
    assert split(f"They met ({word}. Smith) there.") == [f"They met ({word}. Smith) there."]


@pytest.mark.parametrize("word", NUMBERED)
def test_a_word_that_stands_before_numbers_ends_a_sentence_only_before_none(word: str) -> None:
    assert split(f"See {word}. 5 there.") == [f"See {word}. 5 there."]
    assert split(f"See {word}. Five there.") == [f"See {word}.", "Five there."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("So said J. Smith. He left.", ["So said J. Smith.", "He left."]),
        ("So did I. He left.", ["So did I.", "He left."]),
        ("So did x. He left.", ["So did x.", "He left."]),
        ("The sum is 5. He left.", ["The sum is 5.", "He left."]),
        ("5. He left.", ["5. He left."]),
        ("He left.\n 12. Wash it.", ["He left.", "12. Wash it."]),
        ("Done! dr. Who came.", ["Done! dr. Who came."]),
        ("Wait… what? Yes.", ["Wait… what?", "Yes."]),
        ("Wait…what. Yes.", ["Wait…what.", "Yes."]),
        ("Really?! Yes...  No.", ["Really?!", "Yes...", "No."]),
        ("He said “Go.” She went.", ["He said “Go.”", "She went."]),
        ("He (it was late.) Left.", ["He (it was late.)", "Left."]),
        ("One; two. Three", ["One; two.", "Three"]),
        ("一；二。三！四？五", ["一；", "二。", "三！", "四？", "五"]),
        ("好!不。", ["好!", "不。"]),
        ("好。Yes。no！so？x；y｡z", ["好。", "Yes。", "no！", "so？", "x；", "y｡", "z"]),
        ("One; Two. Three", ["One; Two.", "Three"]),
        ("Is it Mr? Smith asked.", ["Is it Mr?", "Smith asked."]),
        ("So said X. Smith. He left.", ["So said X. Smith.", "He left."]),
        ("It is 3.14 or a.b.c here.", ["It is 3.14 or a.b.c here."]),
        ("What?yes", ["What?yes"]),
        ("A line\nAnother line\r\nThird", ["A line", "Another line", "Third"]),
        ("A line\nwrapped\u2028Next\u2029Last", ["A line\nwrapped", "Next", "Last"]),
        ("One. --- Two.", ["One.", "--- Two."]),
        ("One.\n---\nTwo.", ["One.", "Two."]),
        ("Nothing left. ", ["Nothing left."]),
        ("mr. smith", ["mr. smith"]),
        ("End.       far away.", ["End.       far away."]),
        ("End.        far away.", ["End.", "far away."]),
    ],
)
def test_a_text_is_split_where_a_reader_would(text: str, expected: list[str]) -> None:
    assert split(text) == expected


def test_there_are_more_exactly_when_something_was_left_out() -> None:
    text = "One. Two. Three."
    for limit, count, more in ((0, 0, True), (1, 1, True), (2, 2, True), (3, 3, False), (4, 3, False)):
        found, left = sentences(text, limit)
        assert (len(found), left) == (count, more)
    assert sentences("", 5) == ([], False)


def test_a_long_text_without_sentences_is_read_up_to_what_the_limit_could_hold() -> None:
    for limit in (1, 3):
        most = (limit + 1) * MAX_SENTENCE_CHARS
        assert sentences("- " * (most // 2), limit) == ([], False)
        assert sentences("- " * (most // 2) + "-", limit) == ([], True)


def test_a_long_sentence_is_cut_behind_its_last_pause_in_the_second_half() -> None:
    half = MAX_SENTENCE_CHARS // 2
    text = "a" * (half + 50) + ", " + "b" * half
    assert split(text) == ["a" * (half + 50) + ",", "b" * half]
    text = "a" * (half - 50) + " " + "b" * MAX_SENTENCE_CHARS  # the pause comes too early
    assert split(text) == [text[:MAX_SENTENCE_CHARS], text[MAX_SENTENCE_CHARS:]]
    exact = "a " * half
    assert len(exact) == MAX_SENTENCE_CHARS
    assert split(exact) == [exact.strip()]
    exact = "a" * 250 + " " + "b" * 149
    assert split(exact) == [exact]
    assert split(exact + "b") == ["a" * 250, "b" * 150]
    assert split("，".join(["字" * 150] * 4)) == ["字" * 150 + "，" + "字" * 150 + "，", "字" * 150 + "，" + "字" * 150]


def test_the_place_of_a_sentence_is_without_the_space_around_it() -> None:
    assert sentences("  One.   Two.  ", 9)[0] == [Sentence(2, 6), Sentence(9, 13)]


def test_only_neighbours_are_joined_and_only_what_is_above_the_threshold_counts() -> None:
    text = "One. Two. Three. Four. Five."
    found, _ = sentences(text, 9)
    whole = [Span(0, 9, 0.8), Span(17, 28, 0.6)]

    def joined(values: list[float], threshold: float = 0.5, max_spans: int | None = None) -> list[Span]:
        return join_relevant(text, list(zip(found, values, strict=True)), SpanOptions(threshold, max_spans))

    assert joined([0.8, 0.7, 0.5, 0.6, 0.55]) == whole
    assert joined([0.7, 0.8, 0.5, 0.55, 0.6]) == whole
    assert joined([0.6, 0.6, 0.5, 0.8, 0.8]) == [Span(17, 28, 0.8), Span(0, 9, 0.6)]
    assert joined([0.6, 0.5, 0.6, 0.5, 0.6], max_spans=2) == [Span(0, 4, 0.6), Span(10, 16, 0.6)]
    assert joined([0.5] * 5) == []
    # A gap with anything but space in it keeps two apart.
    assert join_relevant("One. -- Two.", [(Sentence(0, 4), 0.9), (Sentence(8, 12), 0.9)], SpanOptions(0.5, None)) == [
        Span(0, 4, 0.9),
        Span(8, 12, 0.9),
    ]
