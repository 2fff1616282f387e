"""The bundled model, its weights and the reference outputs of the parity test belong together."""

import tomllib
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from safetensors.numpy import load_file

from mdetr_training import config as configs
from mdetr_training import reference, weights
from mdetr_training import tokenizer as tokenizers
from mdetr_training.export import graphs
from mdetr_training.segmentation import build, grounding
from mdetr_training.train import check_stages

ROOT = Path(__file__).parents[3]
WEIGHTS = ROOT / "models/training/weights/tabletop.safetensors"
CONFIG = ROOT / "models/training/configs/tabletop.toml"
MOTION = ROOT / "models/training/configs/tabletop-motion.toml"
BUNDLE = ROOT / "models/tabletop"
PARITY = ROOT / "src/mdetr/tests/data/parity"


def test_graphs_compute_what_the_weights_compute():
    config, network = weights.load(WEIGHTS)
    assert config.name == "tabletop"
    for graph in graphs(network, config.input.short_side, config.input.max_long_side):
        path = str(BUNDLE / f"{graph.name}.onnx")
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        found = session.run(graph.outputs, {k: v.numpy() for k, v in graph.inputs.items()})
        with torch.no_grad():
            expected = graph.module.eval()(*graph.inputs.values())
        expected = expected if isinstance(expected, tuple) else (expected,)
        for f, e in zip(found, expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(f), e, atol=1e-4, rtol=0)


def test_reference_outputs_are_current():
    config, network = weights.load(WEIGHTS)
    tokenizer = tokenizers.load(BUNDLE / "tokenizer.json")
    expected = load_file(PARITY / "outputs.safetensors")
    found = reference.outputs(config, network, tokenizer, PARITY)
    assert set(found) == set(expected)
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], atol=1e-4, rtol=1e-4, err_msg=name)


def test_configuration_weights_and_bundle_take_the_same_captions():
    config, _ = weights.load(WEIGHTS)
    assert configs.load(MOTION, configs.load(CONFIG)).bundle == config.bundle
    manifest = tomllib.loads((BUNDLE / "model.toml").read_text())
    assert (manifest["captions"], manifest["case"]) == (config.bundle.captions, config.bundle.case)
    assert tokenizers.load(BUNDLE / "tokenizer.json").normalizer is None
    assert config.bundle.normalised("A RED Cube") == "a red cube"


def test_training_starts_from_the_weights():
    config = configs.load(CONFIG)
    check_stages(config.stages, config.network, scenes=True)
    network = build(config.network)
    assert network.answers["attr"] == len(config.network.answer_attributes) == 16
    _, trained = weights.load(WEIGHTS)
    weights.transfer(trained, network, new_heads=True)
    found, expected = (grounding(n).query_embed.weight for n in (network, trained))
    assert torch.equal(found, expected)
