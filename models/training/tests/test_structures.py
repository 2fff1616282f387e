"""Every released structure's entries, held against the lists of the released checkpoints."""

import ast
import gzip
from pathlib import Path

import pytest

from mdetr_training import structures

RELEASED = Path(__file__).parent / "data/released_keys.txt.gz"
PARAMETERS = {
    "resnet101": 185_382_724,
    "efficientnetB3": 152_581_036,
    "efficientnetB5": 169_714_164,
    "clevr": 111_357_803,
    "resnet101_gqa": 186_069_422,
    "efficientnetB5_gqa": 170_400_862,
    "resnet101_phrasecut": 186_683_485,
    "efficientnetB3_phrasecut": 153_731_269,
}


def released() -> dict[str, dict[str, tuple[int, ...]]]:
    """Shapes by entry by structure. A line is a name, a shape and a type, separated by tabs."""
    found, current = {}, {}
    for line in gzip.decompress(RELEASED.read_bytes()).decode().splitlines():
        if line.startswith("# "):
            current = found.setdefault(line.removeprefix("# "), {})
            continue
        name, shape, kind = line.split("\t")
        assert kind == "float32"
        current[name] = ast.literal_eval(shape)
    return found


def test_every_released_structure_has_a_configuration():
    assert set(released()) == set(structures.NETWORKS) == set(PARAMETERS)


@pytest.mark.parametrize("name", structures.NETWORKS)
def test_entries_equal_the_released_ones(name: str):
    expected = released()[name]
    network = structures.empty(structures.NETWORKS[name])
    found = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    assert {k: v for k, v in found.items() if expected.get(k) != v} == {}
    assert {k: v for k, v in expected.items() if found.get(k) != v} == {}
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", structures.NETWORKS)
def test_the_small_form_differs_in_sizes_only(name: str):
    small = structures.shapes(name, reduced=True)
    full = structures.shapes(name)
    heads = [k for k in full if "backbone" not in k and ".layer" not in k]
    assert [k for k in small if "backbone" not in k and ".layer" not in k] == heads
    assert {len(v) for v in small.values()} == {len(v) for v in full.values()}
