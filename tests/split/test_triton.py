"""What is written for Triton, and the protocol's definition, against Triton's own definitions."""

import re

from conftest import MODEL, ROLES, ROOT, sha256, version
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2


def test_tritons_own_definition_reads_the_configurations(mdetr, tmp_path):
    out = tmp_path / "repository"
    done = mdetr("bundle", "triton", MODEL, "--out", out, "--instances", 3, "--device", "gpu")
    assert done.returncode == 0, done.stderr
    assert sorted(folder.name for folder in out.iterdir()) == sorted(
        f"tabletop-{role}" for role in ROLES
    )
    for role in ROLES:
        folder = out / f"tabletop-{role}"
        config = text_format.Parse(
            (folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig()
        )
        graph = MODEL / f"{role}.onnx"
        assert config.name == folder.name and config.backend == "onnxruntime"
        assert config.parameters["mdetr_sha256"].string_value == sha256(graph)
        assert (folder / version(graph) / "model.onnx").read_bytes() == graph.read_bytes()
        assert config.version_policy.HasField("all")
        [group] = config.instance_group
        assert (group.count, group.kind) == (3, model_config_pb2.ModelInstanceGroup.KIND_GPU)
        assert config.max_batch_size == (8 if role == "vision" else 0)
        assert config.HasField("dynamic_batching") == (role == "vision")
        if role == "fusion":
            shapes = {one.name: list(one.dims) for one in config.input}
            assert shapes["tokens"] == [-1, -1, 128] and shapes["position"] == [1, -1, 128]
            outputs = {one.name for one in config.output}
            assert {"logits", "boxes", "hidden", "memory", "answer_type"} <= outputs


def test_the_definition_of_the_protocol_has_tritons_field_numbers():
    text = (ROOT / "src/kserve/proto/inference.proto").read_text()
    text = re.sub(r"//.*", "", text)
    stack, compared = [], 0
    for token in re.finditer(r"(?:message|oneof|service) (\w+) \{|(\w+) = (\d+);|\}", text):
        opened, name, number = token.groups()
        if opened:
            stack.append(opened)
        elif name and stack and stack[-1] != "properties":
            path = [part for part in stack if part != "parameter_choice"]
            if name == "properties":
                continue
            module = (
                model_config_pb2 if path[0] in ("ModelConfig", "ModelParameter") else service_pb2
            )
            descriptor = module.DESCRIPTOR.message_types_by_name[path[0]]
            for part in path[1:]:
                descriptor = descriptor.nested_types_by_name[part]
            assert descriptor.fields_by_name[name].number == int(number), (path, name)
            compared += 1
        elif not name and stack:
            stack.pop()
    assert compared > 60
    calls = set(re.findall(r"rpc (\w+)\(", text))
    assert calls <= set(
        service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
    )
