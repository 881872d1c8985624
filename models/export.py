"""The scoring graph: trained weights in, ``model.onnx`` out.

The graph is written out node by node rather than traced, for two reasons. The three projections
of an attention become one product, and attention, layer normalisation and GELU become
onnxruntime's fused operators. And int8 is quantised **per token**: onnxruntime's own dynamic
quantisation takes one activation scale per batch, so that a post's score moves with its company
(by 0.01 in a logit, measured); with a scale per token the same text has the same score in any
batch, and the rounding is finer. Weights have a scale per output column. (Processors without VNNI
add two 8-bit products in 16 bits and would saturate; the scorer asks onnxruntime for its exact way
there.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.labels import HEADS
from models.network import Network
from models.train import predict
from models.wide import BUCKETS, FACTORS

Array = npt.NDArray[Any]

OPSET: Final = 17
PRECISIONS: Final = ("int8", "weights8", "fp32")
"""int8: products in 8 bits. weights8: stored in 8 bits, unpacked once at load, products in
float32: as small a file, finer and slower. fp32: nothing rounded."""


class _Graph:
    def __init__(
        self, state: dict[str, Array], precision: str, peaks: Mapping[str, Array] | None = None
    ) -> None:
        self.state = state
        self.precision = precision
        self.peaks = peaks or {}
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, onnx.TensorProto] = {}
        self.counter = 0

    def constant(self, name: str, value: Array) -> str:
        if name not in self.weights:
            self.weights[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def add(
        self, op: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any
    ) -> Any:
        self.counter += 1
        names = [f"{op}_{self.counter}_{i}" for i in range(outputs)]
        self.nodes.append(
            helper.make_node(op, list(inputs), names, name=names[0], domain=domain, **attributes)
        )
        return names[0] if outputs == 1 else names

    def quantised_rows(self, x: str, *, signed: bool) -> tuple[str, str]:
        """Quantise ``x`` (n × width) with one scale per row; return the bytes and the scales."""
        largest = self.add("ReduceMax", self.add("Abs", x) if signed else x, axes=[1], keepdims=0)
        largest = self.add("Max", largest, self.constant("tiny", np.array([1e-8], np.float32)))
        steps = 127 if signed else 255
        step = self.constant(f"1/{steps}", np.array([1 / steps], np.float32))
        scale = self.add("Mul", largest, step)
        zero = _filled(128 if signed else 0)
        zeros = self.add("ConstantOfShape", self.add("Shape", scale), value=zero)
        return self.add("QuantizeLinear", x, scale, zeros, axis=0), scale

    def product(self, x: str, name: str, weight: Array, *, floor: float | None = None) -> str:
        """Multiply ``x`` (n × width) by ``weight`` (width × out).

        ``floor`` is a value below which ``x`` never falls, where there is one: all 8 bits then
        serve what lies above it.
        """
        if self.precision == "fp32":
            return str(self.add("MatMul", x, self.constant(name, weight)))
        if self.precision == "weights8":
            return str(self.add("MatMul", x, self.unpacked(name, weight)))
        if floor is not None:
            x = self.add("Sub", x, self.constant(f"{name}.floor", np.array([floor], np.float32)))
        shift = weight.sum(axis=0) * (floor or 0.0)
        if name in self.peaks:
            # A few channels of the activations are far larger than the others and would take all
            # steps of the scale: part of their size moves into the weights (Xiao et al., 2023).
            size = np.maximum(self.peaks[name] - (floor or 0.0), 1e-5)
            even = np.sqrt(size / np.maximum(np.abs(weight).max(axis=1), 1e-5))
            even = (even / np.exp(np.log(even).mean())).astype(np.float32)
            x = self.add("Mul", x, self.constant(f"{name}.even", 1.0 / even))
            weight = weight * even[:, None]
        quantised, scale = self.quantised_rows(x, signed=floor is None)
        columns = np.maximum(np.abs(weight).max(axis=0), 1e-8) / 127
        table = np.clip(np.rint(weight / columns), -127, 127).astype(np.int8)
        summed = self.add(
            "MatMulInteger",
            quantised,
            self.constant(f"{name}.int8", table),
            self.constant(f"zero{floor is None}", np.array(128 if floor is None else 0, np.uint8)),
        )
        as_float = self.add("Cast", summed, to=TensorProto.FLOAT)
        by_row = self.add("Unsqueeze", scale, self.constant("axis1", np.array([1], np.int64)))
        scales = self.constant(f"{name}.scale", columns.astype(np.float32))
        out = self.add("Mul", self.add("Mul", as_float, by_row), scales)
        if floor is not None:
            out = self.add("Add", out, self.constant(f"{name}.shift", shift.astype(np.float32)))
        return str(out)

    def unpacked(self, name: str, weight: Array) -> str:
        """Store ``weight`` with 8 bits and a scale per column; it is unpacked at load."""
        scale = np.maximum(np.abs(weight).max(axis=0), 1e-8) / 127
        table = np.clip(np.rint(weight / scale), -127, 127).astype(np.int8)
        # Cast and Mul of constants are folded once, when the session is made; a DequantizeLinear
        # would be kept and run for every batch.
        as_float = self.add("Cast", self.constant(f"{name}.int8", table), to=TensorProto.FLOAT)
        return str(
            self.add("Mul", as_float, self.constant(f"{name}.scale", scale.astype(np.float32)))
        )

    def linear(self, x: str, name: str, *, floor: float | None = None) -> str:
        """Apply the linear layer ``name`` (weight and bias) to ``x`` (n × width)."""
        out = self.product(x, name, self.state[f"{name}.weight"].T, floor=floor)
        return str(self.add("Add", out, self.constant(f"{name}.bias", self.state[f"{name}.bias"])))

    def table(self, name: str, ids: str) -> str:
        """Look rows up in an embedding table; in int8 each row has its own scale."""
        weight = self.state[name]
        if self.precision == "fp32":
            return str(self.add("Gather", self.constant(name, weight), ids))
        scale = np.maximum(np.abs(weight).max(axis=1, keepdims=True), 1e-8) / 127
        packed = np.clip(np.rint(weight / scale), -127, 127).astype(np.int8)
        rows = self.add("Gather", self.constant(f"{name}.int8", packed), ids)
        scales = self.add("Gather", self.constant(f"{name}.scale", scale.astype(np.float32)), ids)
        return str(self.add("Mul", self.add("Cast", rows, to=TensorProto.FLOAT), scales))

    def wide(self) -> str:
        """Add the wide part: what ``models.wide.Wide.forward`` adds to the encoder's logits."""
        one = self.constant("axis1", np.array([1], np.int64))
        last = np.iinfo(np.int64).max
        mask = self.add("Cast", "attention_mask", to=TensorProto.FLOAT)
        sums, squares = [], []
        for n, factors in enumerate(FACTORS, 1):
            # ids[:, i : tokens - n + 1 + i], once per place in the run
            parts = [
                self.add(
                    "Mul",
                    self.sliced("input_ids", i, i - n + 1 or last),
                    self.constant(f"factor{factor}", np.array(factor, np.int64)),
                )
                for i, factor in enumerate(factors)
            ]
            total = self.constant(f"length{n}", np.array(n, np.int64))
            for part in parts:
                total = self.add("Add", total, part)
            at = self.add("Mod", total, self.constant("buckets", np.array(BUCKETS, np.int64)))
            there = self.sliced(mask, n - 1, last)
            rows = self.table("wide.table", at)
            weight = self.add("Unsqueeze", there, self.constant("axis2", np.array([2], np.int64)))
            sums.append(self.add("ReduceSum", self.add("Mul", rows, weight), one, keepdims=0))
            square = self.add("Gather", self.constant("wide.square", self.state["wide.square"]), at)
            squares.append(self.add("ReduceSum", self.add("Mul", square, there), one, keepdims=1))
        length = self.add("Sqrt", self.add("Sum", *squares))
        scaled = self.add("Div", self.add("Sum", *sums), length)
        return str(self.add("Add", scaled, self.constant("wide.bias", self.state["wide.bias"])))

    def sliced(self, x: str, start: int, end: int) -> str:
        """Return ``x[:, start:end]``."""
        edges = [self.constant(f"edge{v}", np.array([v], np.int64)) for v in (start, end)]
        return str(self.add("Slice", x, *edges, self.constant("axis1", np.array([1], np.int64))))

    def normalised(self, x: str, name: str, eps: float) -> str:
        return str(
            self.add(
                "LayerNormalization",
                x,
                self.constant(f"{name}.weight", self.state[f"{name}.weight"]),
                self.constant(f"{name}.bias", self.state[f"{name}.bias"]),
                axis=-1,
                epsilon=eps,
            )
        )


def _filled(value: int) -> onnx.TensorProto:
    return helper.make_tensor("value", TensorProto.UINT8, [1], [value])


GELU_FLOOR: Final = -0.17
"""The lowest value of GELU, rounded down."""


def activation_peaks(network: Network, tokenizer: Any, texts: Sequence[str]) -> dict[str, Array]:
    """Return, per product of the graph, the largest size of each input channel over ``texts``."""
    import torch

    inputs = {"attention.self.query": "qkv"}
    inputs |= {n: n for n in ("attention.output.dense", "intermediate.dense", "output.dense")}
    peaks: dict[str, Array] = {}

    def watch(name: str) -> Any:
        def hook(_module: Any, arguments: tuple[torch.Tensor, ...]) -> None:
            seen = arguments[0].detach().flatten(0, -2).abs().amax(0).cpu().numpy()
            peaks[name] = np.maximum(peaks.get(name, 0.0), seen)

        return hook

    handles = [
        network.get_submodule(f"encoder.encoder.layer.{i}.{module}").register_forward_pre_hook(
            watch(f"encoder.layer.{i}.{product}")
        )
        for i in range(int(network.encoder.config.num_hidden_layers))
        for module, product in inputs.items()
    ]
    try:
        predict(network, tokenizer, texts)
    finally:
        for handle in handles:
            handle.remove()
    return peaks


def export(
    network: Network, path: Path, precision: str, peaks: Mapping[str, Array] | None = None
) -> Path:
    """Write the graph to ``path``: ``input_ids``, ``attention_mask`` (int64, batch × tokens) in,
    ``logits`` (batch × ``LOGITS``) and ``embedding`` (batch × hidden, length 1) out, float32.
    ``precision`` is one of ``PRECISIONS``; ``peaks`` (see ``activation_peaks``) makes int8 finer.
    """
    config = network.encoder.config
    state = {
        name.removeprefix("encoder."): value.detach().cpu().numpy().astype(np.float32)
        for name, value in network.state_dict().items()
        if value.is_floating_point()
    }
    hidden, eps = int(config.hidden_size), max(float(config.layer_norm_eps), 1e-12)
    g = _Graph(state, precision, peaks)
    flat = g.constant("flat", np.array([-1, hidden], np.int64))

    shape = g.add("Shape", "input_ids")
    tokens = g.add("Gather", shape, g.constant("1", np.array(1, np.int64)), axis=0)
    positions = g.add(
        "Range",
        g.constant("0", np.array(0, np.int64)),
        tokens,
        g.constant("1", np.array(1, np.int64)),
    )
    word = g.table("embeddings.word_embeddings.weight", "input_ids")
    place = g.add(
        "Gather",
        g.constant(
            "positions",
            state["embeddings.position_embeddings.weight"]
            + state["embeddings.token_type_embeddings.weight"][:1],
        ),
        positions,
    )
    x = g.add("Reshape", g.add("Add", word, place), flat)
    x = g.normalised(x, "embeddings.LayerNorm", eps)

    mask = g.add("Cast", "attention_mask", to=TensorProto.INT32)
    batched = g.add("Concat", shape, g.constant("hidden", np.array([hidden], np.int64)), axis=0)
    for layer in range(config.num_hidden_layers):
        at = f"encoder.layer.{layer}."
        parts = [f"{at}attention.self.{p}" for p in ("query", "key", "value")]
        qkv_weight = np.concatenate([state[f"{p}.weight"].T for p in parts], axis=1)
        qkv_bias = np.concatenate([state[f"{p}.bias"] for p in parts])
        qkv = g.product(x, f"{at}qkv", qkv_weight)
        split = g.add(
            "Split",
            qkv,
            g.constant("thirds", np.array([hidden] * 3, np.int64)),
            outputs=3,
            axis=1,
        )
        attended = g.add(
            "MultiHeadAttention",
            *(g.add("Reshape", part, batched) for part in split),
            g.constant(f"{at}qkv.bias", qkv_bias),
            mask,
            domain="com.microsoft",
            num_heads=int(config.num_attention_heads),
        )
        out = g.linear(g.add("Reshape", attended, flat), f"{at}attention.output.dense")
        x = g.normalised(g.add("Add", out, x), f"{at}attention.output.LayerNorm", eps)
        inner = g.product(x, f"{at}intermediate.dense", state[f"{at}intermediate.dense.weight"].T)
        bias = g.constant(f"{at}intermediate.bias", state[f"{at}intermediate.dense.bias"])
        inner = g.add("BiasGelu", inner, bias, domain="com.microsoft")
        out = g.linear(inner, f"{at}output.dense", floor=GELU_FLOOR)
        x = g.normalised(g.add("Add", out, x), f"{at}output.LayerNorm", eps)

    last = g.add("Reshape", x, batched)
    weight = g.add(
        "Unsqueeze",
        g.add("Cast", "attention_mask", to=TensorProto.FLOAT),
        g.constant("axis2", np.array([2], np.int64)),
    )
    axis1 = g.constant("axis1", np.array([1], np.int64))
    total = g.add("ReduceSum", g.add("Mul", last, weight), axis1, keepdims=0)
    count = g.add("ReduceSum", weight, axis1, keepdims=0)
    mean = g.add("Div", total, count)
    first = g.add("Gather", last, g.constant("0", np.array(0, np.int64)), axis=1)
    features = g.add("Concat", mean, first, axis=-1)
    logits = []
    exact = _Graph(state, "fp32")  # the heads are small: nothing is won by rounding them
    exact.nodes, exact.weights, exact.counter = g.nodes, g.weights, g.counter
    for name in HEADS:
        head = exact.linear(features, f"heads.{name}.1")
        head = exact.add("Gelu", head, domain="com.microsoft")
        logits.append(exact.linear(head, f"heads.{name}.4"))
    deep = exact.add(
        "Mul", exact.add("Concat", *logits, axis=-1), exact.constant("deep", state["wide.deep"])
    )
    g.counter = exact.counter  # two writers of one graph: their names must not meet
    exact.nodes.append(helper.make_node("Add", [deep, g.wide()], ["logits"]))
    exact.nodes.append(helper.make_node("LpNormalization", [mean], ["embedding"], axis=-1, p=2))

    model = helper.make_model(
        helper.make_graph(
            exact.nodes,
            "lilin",
            [
                helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "tokens"])
                for n in ("input_ids", "attention_mask")
            ],
            [
                helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", None]),
                helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", hidden]),
            ],
            list(g.weights.values()),
        ),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)],
        ir_version=8,
        producer_name="lilin",
    )
    onnx.save(model, str(path))
    return path
