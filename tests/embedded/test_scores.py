"""The running engine gives the right numbers, no matter who else is asking."""

import math
import random
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from launch.embedded.calibration import LOGITS, PROMISING
from tests.embedded.engine_process import Engine
from tests.embedded.recorded import E5, MINILM, TEXTS

CHINESE = 1  # the place of the recorded text that all-MiniLM-L6-v2 cannot read
WORDS = ["river", "stone", "bread", "window", "market", "garden", "winter", "music", "城市", "café", "🎉"]


def texts(count: int, words: int, seed: int = 0) -> list[str]:
    dice = random.Random(seed)
    return [" ".join(dice.choices(WORDS, k=words)) for _ in range(count)]


def test_scores_are_the_documented_function_of_the_recorded_cosines(engine: Engine) -> None:
    for index, query in enumerate(TEXTS):
        found = [math.log(score / (1 - score)) for score in engine.scores(query, *TEXTS)]
        english, multilingual = MINILM.vectors @ MINILM.vectors[index], E5.vectors @ E5.queries[index]
        for document, cosines in enumerate(zip(english, multilingual, strict=True)):
            if index == document == CHINESE:
                right = LOGITS["foreign"](cosines[1])
            elif CHINESE in (index, document):
                right = LOGITS["across"](cosines[1])
            else:
                right = LOGITS["latin"](*(cosines if cosines[0] > PROMISING else cosines[:1]))
            assert found[document] == pytest.approx(right, abs=0.5)


@pytest.mark.parametrize(
    ("query", "document"),
    [
        ("Сколько стоит проезд в метро?", "Билет на одну поездку в метро стоит шестьдесят рублей."),
        ("ما هي عاصمة مصر؟", "القاهرة هي عاصمة مصر وأكبر مدنها."),
        ("日本の首都はどこですか", "東京は日本の首都です。"),
        ("한국의 수도는 어디입니까", "서울은 대한민국의 수도이다."),
        ("เมืองหลวงของประเทศไทยคืออะไร", "กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย"),
        ("What is the capital of Greece?", "Πρωτεύουσα της Ελλάδας είναι η Αθήνα."),
        ("北京有多少人口", "Beijing has a population of about twenty-two million people."),
    ],
)
def test_other_scripts_are_read_too(engine: Engine, query: str, document: str) -> None:
    right, wrong = engine.scores(query, document, "Recipes for tomato soup.")
    assert right > wrong + 0.05


@pytest.mark.parametrize(
    ("query", "ranked"),
    [
        (
            "What is the capital of France?",
            ["Paris is the capital and largest city of France.", "Lyon is a city.", "Bananas are yellow."],
        ),
        (
            "symptoms of dehydration",
            ["Dark urine and a dry mouth show that the body lacks water.", "Drink water.", "Shares fell on Tuesday."],
        ),
        (
            "python read a file line by line",
            ["with open(path) as f: for line in f: print(line)", "Pythons are large snakes.", "Add two cups of flour."],
        ),
    ],
)
def test_the_answer_is_above_a_half_and_the_unrelated_near_zero(engine: Engine, query: str, ranked: list[str]) -> None:
    scores = engine.scores(query, *ranked)
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.5
    assert scores[-1] < 0.1


def test_a_score_depends_on_nothing_but_its_pair(engine: Engine) -> None:
    query, document = "a café in winter", "music in the market"
    (alone,) = engine.scores(query, document)
    crowd = [*texts(20, 3), *texts(20, 80), "", *texts(1, 400)]
    assert engine.scores(query, *crowd, document, *crowd)[len(crowd)] == alone


def test_concurrent_requests_get_the_answers_they_get_alone(engine: Engine) -> None:
    asked = [(f"query {n}", *texts(10, 5 + 10 * n, n)) for n in range(8)]
    alone = [engine.scores(*texts) for texts in asked]
    with ThreadPoolExecutor(len(asked)) as threads:
        assert list(threads.map(lambda texts: engine.scores(*texts), asked)) == alone


def test_a_big_request_does_not_hold_up_a_small_one(engine: Engine) -> None:
    with ThreadPoolExecutor(1) as thread:
        big = thread.submit(engine.scores, "q", *texts(500, 60))
        engine.wait_until_running(1)
        assert len(engine.scores("q", *texts(5, 10))) == 5
        assert not big.done()
        assert len(big.result()) == 500


@pytest.mark.timeout(20)
def test_a_request_whose_caller_left_is_given_up(engine: Engine) -> None:
    minutes_of_work = {"text_1": "q", "text_2": texts(20_000, 100)}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{engine.url}/score", json=minutes_of_work, timeout=httpx.Timeout(30, read=1))
    engine.wait_until_running(0)


def test_a_long_document_counts_by_its_first_512_tokens(engine: Engine) -> None:
    beginning = "garden " * 510  # [CLS] and [SEP] make it 512
    cut, whole = engine.scores("a garden", beginning + "engine " * 5000, beginning)
    assert cut == whole


def test_a_document_of_many_megabytes_is_scored_at_once(engine: Engine) -> None:
    document = {"text_1": "q", "text_2": "garden winter " * 1_500_000}
    assert httpx.post(f"{engine.url}/score", json=document, timeout=5).status_code == 200


def test_usage_counts_the_tokens_that_were_read(engine: Engine) -> None:
    body = {"text_1": "a garden", "text_2": ["garden", "", "garden " * 1000]}
    usage = httpx.post(f"{engine.url}/score", json=body).json()["usage"]
    read = (2 + 1 + 3) + (2 + 0 + 3) + (2 + 510 + 3)  # [CLS] query [SEP] document [SEP]
    assert usage == {"prompt_tokens": read, "total_tokens": read, "completion_tokens": 0}
