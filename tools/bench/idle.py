"""A bundle whose graphs do next to nothing, to see what the element costs besides."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .bundles import manifest
from .machine import ROOT

F, I = TensorProto.FLOAT, TensorProto.INT64  # noqa: E741
tensor, node = helper.make_tensor_value_info, helper.make_node
D, FOUND = 4, 3
"""Width of the tokens, and boxes that every frame and query get."""


def constant(name: str, values: object) -> onnx.TensorProto:
    """An initializer."""
    return numpy_helper.from_array(np.array(values), name)


def make(folder: Path) -> None:
    """A bundle with the bundled model's input and manifest whose graphs do next to nothing: three
    boxes, whatever is seen and asked."""
    source = ROOT / "models/tabletop"
    network = manifest(source)["network"]
    stride = network["stride"]
    queries, slots = network["queries"], network["slots"]

    def save(name, nodes, inputs, outputs, constants):
        graph = helper.make_graph(nodes, name, inputs, outputs, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, folder / f"{name}.onnx")

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copyfile(source / "tokenizer.json", folder / "tokenizer.json")
    save(
        "text",
        [
            node("Unsqueeze", ["input_ids", "last"], ["column"]),
            node("Cast", ["column"], ["values"], to=F),
            node("Unsqueeze", ["attention_mask", "last"], ["mask_column"]),
            node("Cast", ["mask_column"], ["mask_values"], to=F),
            node("Mul", ["values", "mask_values"], ["masked"]),
            node("Tile", ["masked", "times"], ["text_memory"]),
        ],
        [tensor("input_ids", I, [1, "L"]), tensor("attention_mask", I, [1, "L"])],
        [tensor("text_memory", F, [1, "L", D])],
        [constant("last", [2]), constant("times", [1, 1, D])],
    )
    # One pixel in `stride` x `stride`, its three channels and the first again.
    save(
        "vision",
        [
            node("Slice", ["image", "from", "to", "axes", "steps"], ["grid"]),
            node("Slice", ["grid", "zero", "one", "one"], ["red"]),
            node("Concat", ["grid", "red"], ["cells"], axis=1),
            node("Reshape", ["cells", "flat"], ["columns"]),
            node("Transpose", ["columns"], ["tokens"], perm=[0, 2, 1]),
        ],
        [tensor("image", F, ["B", 3, "H", "W"])],
        [tensor("tokens", F, ["B", "N", D])],
        [
            constant("from", [0, 0]),
            constant("to", [2**31, 2**31]),
            constant("axes", [2, 3]),
            constant("steps", [stride, stride]),
            constant("zero", [0]),
            constant("one", [1]),
            constant("flat", [0, D, -1]),
        ],
    )
    logits = np.full((1, queries, slots), -10.0, np.float32)
    logits[..., -1] = 10.0
    logits[:, :FOUND, -1], logits[:, :FOUND, 1] = -10.0, 10.0
    boxes = np.zeros((1, queries, 4), np.float32)
    boxes[..., :2], boxes[..., 2:] = np.linspace(0.2, 0.8, queries)[:, None], 0.1
    # What is fed takes part, so that no engine leaves it out: times zero.
    fed = ["tokens", "position", "text_memory", "mask_values"]
    save(
        "fusion",
        [
            node("Cast", ["text_mask"], ["mask_values"], to=F),
            *(node("ReduceMax", [n], [f"{n}_max"], keepdims=0) for n in fed),
            node("Sum", [f"{n}_max" for n in fed], ["all"]),
            node("Mul", ["all", "nothing"], ["none"]),
            node("Add", ["fixed_logits", "none"], ["logits"]),
            node("Add", ["fixed_boxes", "none"], ["boxes"]),
        ],
        [
            tensor("tokens", F, [1, "N", D]),
            tensor("position", F, [1, "N", D]),
            tensor("text_memory", F, ["B", "L", D]),
            tensor("text_mask", I, ["B", "L"]),
        ],
        [tensor("logits", F, [1, queries, slots]), tensor("boxes", F, [1, queries, 4])],
        [
            constant("nothing", np.float32(0)),
            numpy_helper.from_array(logits, "fixed_logits"),
            numpy_helper.from_array(boxes, "fixed_boxes"),
        ],
    )
    text = (source / "model.toml").read_text()
    head = text[: text.index("[answers]")]
    kept = [line for line in head.splitlines() if not line.startswith("past")]
    head = "\n".join(kept).replace('name = "tabletop"', 'name = "idle"')
    head = head.replace(f"d_model = {network['d_model']}", f"d_model = {D}")
    tasks = head.splitlines()
    tasks = ['tasks = ["grounding"]' if line.startswith("tasks") else line for line in tasks]
    files = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        files.append(
            f'"{path.name}" = {{ bytes = {len(data)}, '
            f'sha256 = "{hashlib.sha256(data).hexdigest()}" }}'
        )
    (folder / "model.toml").write_text("\n".join([*tasks, "[files]", *files]) + "\n")
