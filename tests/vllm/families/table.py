"""The table of docs/models.md: every family's scores beside those of its author's code.

`python -m tests.vllm.families.table` starts every engine and prints it, and the seconds of each on stderr.
"""

import sys
import time
from collections.abc import Sequence

from tests.vllm.families.lists import PROOF, measure_lists, running_lists
from tests.vllm.families.proofs import PROOFS, Proof, Row, measure, running_proof
from tests.vllm.families.reference import Authors

HEAD = (
    *("model", "the author's code", "pairs", "this gateway"),
    *("vLLM as documented: ordinary texts", "control tokens in a document", "longer than the context"),
)


def table(rows: Sequence[Row]) -> str:
    lines = [list(HEAD), ["---", "---", *("---:" for _ in HEAD[2:])]]
    for row in rows:
        figures = [_rounded(figure) for figure in (row.ours, *row.documented)]
        lines.append([row.proof.name, row.proof.author, str(row.pairs), *figures])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _rounded(difference: float) -> str:
    return f"{difference:.2f}" if difference >= 0.01 else f"{difference:.0e}".replace("e-0", "e-")


def _measured(proof: Proof, authors: Authors) -> Row:
    if proof is PROOF:
        with running_lists(authors) as lists:
            return measure_lists(lists)
    with running_proof(proof, authors) as running:
        return measure(running)


def main(kinds: Sequence[str]) -> None:
    """Print a row as soon as it is measured. kinds: the models to measure; none is all."""
    print(table([]), flush=True)
    with Authors() as authors:
        for proof in (*PROOFS, PROOF):
            if not kinds or proof.kind in kinds:
                began = time.monotonic()
                print(table([_measured(proof, authors)]).splitlines()[-1], flush=True)
                print(f"{proof.kind}: {time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
