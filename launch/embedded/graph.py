"""Builds an encoder of BERT's kind as an ONNX graph: the embeddings of one text in, its unit vector or logit out.

The word embeddings stay in the checkpoint, mapped from the disk. In the graph they would be most of its memory.

Each text is a run of its own length. Without padding and without a batch, nothing but the text can influence its
vector. This costs no time: quantised texts of 60 tokens take as long one by one as in batches of 4, 8 or 32 of equal
length. Single-threaded runs side by side are faster than one run on all threads, whose threads wait for each other.

In a quantised graph each matrix product measures the range of its activations by row, that is by token. onnxruntime's
own tool takes one range for the whole tensor. A few tokens ([CLS], [SEP]) have activations ten times as large as the
others and decide that range, which moves cosines by 0.010 on average and 0.048 at most. By row it is 0.004 and 0.021.
With VNNI a quantised graph takes 0.4 of float32's time. NDCG@5 on graded product searches is 0.935, against 0.940 for
float32 and 0.804 for BM25.

Weights are integers within ±127 with one scale per output. Processors that multiply bytes by signed bytes and add in
32 bits (VNNI, ARM) take them as int8. Others add in 16 bits and saturate: an emulated Haswell moves cosines by 0.07.
They take the weights as uint8, shifted by 128. Its product is slower, and the scores are the same.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from launch.embedded.architecture import Architecture, Head
from launch.embedded.weights import Array, Precision, Weights, as_float32

CONTRIB = "com.microsoft"  # onnxruntime's own operators


def build(weights: Weights, architecture: Architecture, precision: Precision) -> bytes:
    """The serialised model.

    Input `embedded`: float32 [tokens, hidden], the sum of each token's embeddings. Output `result`: float32, the vector
    [hidden] or the logit [1].
    """
    graph = _Graph()
    linear = _LINEAR[precision]

    def norm(x: str, name: str) -> str:
        gamma, beta = (graph.constant(as_float32(weights[f"{name}.LayerNorm.{part}"])) for part in ("weight", "bias"))
        return graph.add("LayerNormalization", x, gamma, beta, epsilon=architecture.epsilon)

    def dense(x: str, *names: str) -> str:
        weight, bias = (
            np.concatenate([as_float32(weights[f"{name}.{part}"]) for name in names]) for part in ("weight", "bias")
        )
        return linear(graph, x, weight, bias)

    first = graph.constant(np.array([0]))
    x = norm("embedded", "embeddings")
    for layer in (f"encoder.layer.{number}" for number in range(architecture.layers)):
        query_key_value = dense(x, *(f"{layer}.attention.self.{part}" for part in ("query", "key", "value")))
        three = graph.split(graph.add("Unsqueeze", query_key_value, first), 3)
        attended = graph.add("MultiHeadAttention", *three, domain=CONTRIB, num_heads=architecture.heads)
        attended = dense(graph.add("Squeeze", attended, first), f"{layer}.attention.output.dense")
        x = norm(graph.add("Add", x, attended), f"{layer}.attention.output")
        wide = graph.add("Gelu", dense(x, f"{layer}.intermediate.dense"))
        x = norm(graph.add("Add", x, dense(wide, f"{layer}.output.dense")), f"{layer}.output")
    _HEADS[architecture.head](graph, x, weights)
    return graph.serialised()


def _mean(graph: "_Graph", x: str, _weights: Weights) -> None:
    mean = graph.add("ReduceMean", x, graph.constant(np.array([0])), keepdims=0)
    graph.add("LpNormalization", mean, axis=0, p=2, output="result")


def _classified(graph: "_Graph", x: str, weights: Weights, *, dense: str, out: str) -> None:
    """The logit of the first token, in float32 at every precision: it is one row."""

    def linear(x: str, name: str) -> str:
        return _linear_float32(graph, x, *(as_float32(weights[f"{name}.{part}"]) for part in ("weight", "bias")))

    first = graph.add("Gather", x, graph.constant(np.array([0])))
    logits = linear(graph.add("Tanh", linear(first, dense)), out)
    graph.add("Squeeze", logits, graph.constant(np.array([0])), output="result")


_HEADS: dict[Head, Callable[["_Graph", str, Weights], None]] = {
    "mean": _mean,
    "bert": partial(_classified, dense="pooler.dense", out="classifier"),
    "roberta": partial(_classified, dense="classifier.dense", out="classifier.out_proj"),
}


class _Graph:
    """Nodes and constants of a graph under construction. Methods return the name of the value that they add."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def add(self, operator: str, *inputs: str, domain: str = "", output: str = "", **attributes: Any) -> str:
        output = output or f"value{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], domain=domain, **attributes))
        return output

    def split(self, x: str, parts: int) -> list[str]:
        outputs = [f"{x}.{part}" for part in range(parts)]
        self._nodes.append(helper.make_node("Split", [x], outputs, axis=-1, num_outputs=parts))
        return outputs

    def constant(self, value: Array | np.generic) -> str:
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def serialised(self) -> bytes:
        embedded = helper.make_tensor_value_info("embedded", TensorProto.FLOAT, ["tokens", None])
        result = helper.make_tensor_value_info("result", TensorProto.FLOAT, [None])
        graph = helper.make_graph(self._nodes, "encoder", [embedded], [result], self._constants)
        versions = [helper.make_opsetid("", 20), helper.make_opsetid(CONTRIB, 1)]
        content: bytes = helper.make_model(graph, opset_imports=versions, ir_version=9).SerializeToString()
        return content


def _linear_float32(graph: _Graph, x: str, weight: Array, bias: Array) -> str:
    return graph.add("Gemm", x, graph.constant(weight), graph.constant(bias), transB=1)


def _linear_quantised(graph: _Graph, x: str, weight: Array, bias: Array, *, zero: np.integer[Any]) -> str:
    """x @ W.T + b with quantised x and W.

    Each row of x is low + spread / 255 * bytes. So the product is spread / 255 * (bytes @ W.T) + low * (row sums of W)
    + b.
    """
    last, step = graph.constant(np.array([-1])), graph.constant(np.float32(1 / 255))
    low, high = (graph.add(reduce, x, last) for reduce in ("ReduceMin", "ReduceMax"))
    spread = graph.add("Sub", high, low)
    share = graph.add("Div", graph.add("Sub", x, low), spread)
    quantised = graph.add("QuantizeLinear", share, step, graph.constant(np.uint8(0)))

    scale = np.abs(weight).max(axis=1) / 127
    whole = np.round(weight / scale[:, None])
    shifted = graph.constant((whole.T + zero).astype(zero.dtype))
    operands = (quantised, shifted, step, graph.constant(scale), "", graph.constant(zero))
    product = graph.add("MatMulIntegerToFloat", *operands, domain=CONTRIB)
    sums = (whole.sum(axis=1) * scale)[None]
    offset = graph.add("Gemm", low, graph.constant(sums), graph.constant(bias))
    return graph.add("Add", graph.add("Mul", product, spread), offset)


_Linear = Callable[[_Graph, str, Array, Array], str]
_LINEAR: dict[Precision, _Linear] = {
    "int8": partial(_linear_quantised, zero=np.int8(0)),
    "uint8": partial(_linear_quantised, zero=np.uint8(128)),
    "float32": _linear_float32,
}
