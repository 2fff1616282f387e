"""ONNX graphs in half precision."""

import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

FP32_OPERATORS = ["Softmax", "LayerNormalization", "InstanceNormalization", "Pow"]
"""Sums that lose too much in half precision; and the power that scales attention scores, computed
from a shape."""


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with weights and computation in fp16, softmax and norms in fp32, and inputs and
    outputs as they were."""
    half = convert_float_to_float16(
        model,
        keep_io_types=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, *FP32_OPERATORS],
    )
    ordered = OnnxModel(half)
    ordered.topological_sort()
    # Inferred shapes name the free axes, which then cannot be bound by an input's shape in tract.
    del ordered.model.graph.value_info[:]
    return ordered.model
