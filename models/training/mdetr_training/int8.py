"""ONNX graphs with weights of 8 bit."""

import logging
import tempfile
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

LAYERS = ("/text_encoder/encoder/", "/encoder/", "/decoder/")
"""Where transformer layers are in the graphs."""


def to_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with products by weights in transformer layers in int8: weights are rounded once,
    with a scale for each output channel, activations in every run, with one for the whole tensor.
    Convolutions, embeddings, heads, products of activations, inputs and outputs stay in fp32.
    Raises ValueError if there are no such products."""
    layers = [
        node.name
        for node in model.graph.node
        if node.op_type == "MatMul" and node.name.startswith(LAYERS)
    ]
    if not layers:
        raise ValueError(f"expected products in {', '.join(LAYERS)}, found none")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quiet = logging.getLogger().level
        # It recommends shape inference, which would name the free axes.
        logging.getLogger().setLevel(logging.ERROR)
        try:
            quantize_dynamic(
                model,
                path,
                nodes_to_quantize=layers,
                op_types_to_quantize=["MatMul"],
                per_channel=True,
                # Weights of 7 bit: pairs of products do not overflow 16 bit on CPUs without VNNI.
                reduce_range=True,
                weight_type=QuantType.QInt8,
            )
        finally:
            logging.getLogger().setLevel(quiet)
        rounded = onnx.load(path)
    # Inferred shapes name the free axes, which then cannot be bound by an input's shape in tract.
    del rounded.graph.value_info[:]
    return rounded
