"""Requests that the gateway answers right are answered wrong, with status 200, by vLLM directly."""

import pytest

from tests.vllm.conftest import Bench
from tests.vllm.side_by_side import BARE_NEWLINES, GATEWAY, OURS, RAW, measure, table
from tests.vllm.test_scores import TOLERANCE


@pytest.mark.parametrize("bench", ["few-ranks"], indirect=True)
def test_only_the_gateway_gives_the_official_score_whatever_the_text(bench: Bench) -> None:
    rows = measure(bench.engine, bench.reference)
    print(table(rows))
    ordinary, forged, too_long = ({row.road: row.differences[subject] for row in rows} for subject in range(3))
    tolerance = TOLERANCE["float32"]
    assert max(ordinary[GATEWAY], forged[GATEWAY], too_long[GATEWAY]) <= tolerance
    assert ordinary[OURS] <= tolerance  # direct callers of an engine that we launch are right too, but ...
    assert min(forged[OURS], too_long[OURS]) > 0.1  # ... not when a text needs what only the gateway does
    assert min(ordinary[RAW], ordinary[BARE_NEWLINES]) > 0.5
