"""A tiny network and tokenizer, shared by the tests."""

from pathlib import Path

import pytest
import torch

from mdetr_training import official, structures, templates
from mdetr_training import tokenizer as tokenizers
from mdetr_training.config import Config, NetworkConfig, StageConfig, TextConfig
from mdetr_training.network import MDETR

CAPTIONS = ["a small red cube left of the large blue sphere", "all objects", "two green cones"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each of two processes begins with one of the tests that train for minutes."""
    long = [item for item in items if item.path.name == "test_example.py"]
    others = [item for item in items if item not in long]
    half = len(others) // 2
    items[:] = long[:1] + others[:half] + long[1:] + others[half:]


@pytest.fixture(scope="session")
def config() -> Config:
    text = TextConfig(vocab_size=400, hidden=32, layers=1, heads=2, ffn=48, max_positions=40)
    network = NetworkConfig(
        backbone="small-resnet",
        backbone_widths=[8, 8, 16, 24],
        backbone_blocks=[1, 1, 1],
        d_model=32,
        heads=4,
        encoder_layers=2,
        decoder_layers=2,
        ffn=48,
        queries=6,
        dropout=0.0,
        contrastive_dim=16,
        position_in_content=True,
        query_grid=[2, 3],
        text=text,
    )
    config = Config(name="tiny", network=network, stages=[StageConfig()])
    config.input.short_side, config.input.max_long_side = 64, 128
    return config


@pytest.fixture(scope="session")
def network(config: Config) -> MDETR:
    torch.manual_seed(0)
    network = MDETR(config.network)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizers.train(CAPTIONS * 5, 400).save(str(path))
    return path


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Templates of the small forms of the released structures."""
    folder = tmp_path_factory.mktemp("templates")
    templates.write(folder, structures.NETWORKS, reduced=True)
    return folder


@pytest.fixture(scope="session")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer.json as that of roberta-base, with a small vocabulary."""
    folder = tmp_path_factory.mktemp("roberta")
    official.tokenizers.byte_level().model.save(str(folder))
    path = folder / "tokenizer.json"
    official.tokenizers.roberta(folder).save(str(path))
    return path
