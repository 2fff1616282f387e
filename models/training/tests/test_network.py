"""The network's parts against PyTorch's own and against the definition."""

import math
from dataclasses import replace

import pytest
import torch

from mdetr_training import weights
from mdetr_training.config import Config, from_dict
from mdetr_training.data import ATTRIBUTES
from mdetr_training.network import MDETR
from mdetr_training.position import padded_position, sine_position, token_padding
from mdetr_training.segmentation import build
from mdetr_training.transformer import MASKED, Attention


def test_attention_equals_torch():
    torch.manual_seed(0)
    ours, theirs = Attention(16, 4, 0.0), torch.nn.MultiheadAttention(16, 4, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    query, key, value = torch.randn(2, 3, 16), torch.randn(2, 5, 16), torch.randn(2, 5, 16)
    ignore = torch.tensor([[False] * 5, [False, False, True, False, True]])
    expected, _ = theirs(query, key, value, key_padding_mask=ignore)
    found = ours(query, key, value, (ignore * MASKED)[:, None, None, :])
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_sine_position():
    found = sine_position(2, 3, 8)
    assert found.shape == (1, 6, 8)
    y, x = 2 / (2 + 1e-6) * 2 * math.pi, 1 / (3 + 1e-6) * 2 * math.pi
    expected = [
        math.sin(y),
        math.cos(y),
        math.sin(y / 100),
        math.cos(y / 100),
        math.sin(x),
        math.cos(x),
        math.sin(x / 100),
        math.cos(x / 100),
    ]
    torch.testing.assert_close(found[0, 3], torch.tensor(expected), atol=1e-5, rtol=0)


def beside(height: int, width: int, *pictures: tuple[int, int]) -> torch.Tensor:
    """Padding [I, H, W] of pictures of these heights and widths."""
    padding = torch.ones(len(pictures), height, width, dtype=torch.bool)
    for one, (rows, columns) in zip(padding, pictures, strict=True):
        one[:rows, :columns] = False
    return padding


def test_token_padding():
    """Rows 0, 1 and 3 of 5 and columns 0 and 2 of 4."""
    found = token_padding(beside(5, 4, (2, 3), (4, 1), (5, 4)), 3, 2)
    assert found[0].tolist() == [[False, False], [False, False], [True, True]]
    assert found[1].tolist() == [[False, True], [False, True], [False, True]]
    assert not found[2].any()


def test_a_picture_has_its_own_positions_in_a_batch():
    found = padded_position(beside(3, 4, (2, 3), (3, 4)), 8).unflatten(1, (3, 4))
    torch.testing.assert_close(found[0, :2, :3].flatten(0, 1), sine_position(2, 3, 8)[0])
    torch.testing.assert_close(found[1].flatten(0, 1), sine_position(3, 4, 8)[0])


@torch.no_grad()
def test_nothing_looks_at_padding(network: MDETR):
    """Image tokens beside the first of two pictures change nothing; those in it do."""
    pixels = beside(64, 80, (40, 50), (64, 80))
    padding = network.padding(pixels)
    assert padding.unflatten(1, (4, 5)).sum((1, 2)).tolist() == [20 - 3 * 4, 0]
    ids = torch.randint(5, 300, (2, 7))
    mask = torch.ones_like(ids)
    tokens = network.vision(torch.randn(2, 3, 64, 80))
    position, text = network.position(64, 80, pixels), network.text(ids, mask)

    def outputs(tokens: torch.Tensor) -> torch.Tensor:
        return network(tokens, position, text, mask, padding).logits[-1]

    expected = outputs(tokens)
    other = tokens.clone()
    other[padding] += 10
    torch.testing.assert_close(outputs(other), expected)
    fused = network.fusion(tokens, position, text, mask, padding=padding)
    torch.testing.assert_close(fused[0], expected, atol=1e-5, rtol=0)
    other = tokens.clone()
    other[0, 0] += 10
    assert (outputs(other) - expected)[0].abs().max() > 1e-3


@torch.no_grad()
def test_no_padding_is_padding_of_nothing(network: MDETR):
    ids = torch.randint(5, 300, (2, 7))
    mask = torch.ones_like(ids)
    tokens, text = network.vision(torch.randn(2, 3, 64, 80)), network.text(ids, mask)
    pixels = beside(64, 80, (64, 80), (64, 80))
    found = network(tokens, network.position(64, 80, pixels), text, mask, network.padding(pixels))
    expected = network(tokens, network.position(64, 80), text, mask)
    torch.testing.assert_close(found.logits, expected.logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.boxes, expected.boxes, atol=1e-5, rtol=0)


def test_padding_does_not_change_a_caption(network: MDETR):
    image = torch.randn(1, 3, 64, 80)
    ids = torch.randint(5, 300, (1, 7))
    padded = torch.cat([ids, torch.ones(1, 4, dtype=torch.long)], dim=1)
    mask = torch.tensor([[1] * 7 + [0] * 4])
    tokens, position = network.vision(image), network.position(64, 80)
    with torch.no_grad():
        short = network.fusion(tokens, position, network.text(ids, mask[:, :7]), mask[:, :7])
        long = network.fusion(tokens, position, network.text(padded, mask), mask)
    for a, b in zip(short, long, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def aligned(config: Config) -> MDETR:
    torch.manual_seed(0)
    network = MDETR(replace(config.network, aligned_logits=True, contrastive_dim=16)).eval()
    torch.nn.init.constant_(network.align_scale, 3.0)
    return network


def test_aligned_logits_add_the_cosine_of_their_token(config: Config):
    network = aligned(config)
    d, slots = config.network.d_model, config.network.slots
    hidden, text = torch.randn(2, 6, d), torch.randn(2, 5, d)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    with torch.no_grad():
        found = network._class_logits(hidden, network._embedded(hidden, text), mask)
        added = found - network.class_embed(hidden)
        image = network.contrastive_align_projection_image(hidden)
        words = network.contrastive_align_projection_text(text)
    cosine = torch.cosine_similarity(image[:, :, None], words[:, None], dim=-1)
    expected = torch.zeros(2, 6, slots)
    expected[:, :, :5] = 3 * cosine * mask[:, None]
    torch.testing.assert_close(added, expected, atol=1e-5, rtol=0)


def test_padding_does_not_change_an_aligned_caption(config: Config):
    test_padding_does_not_change_a_caption(aligned(config))


def test_alignment_needs_its_heads(config: Config):
    with pytest.raises(ValueError, match="aligned_logits: expected contrastive_dim"):
        MDETR(replace(config.network, aligned_logits=True, contrastive_dim=0))


def test_odd_sizes(network: MDETR):
    tokens = network.vision(torch.randn(1, 3, 65, 81))
    assert tokens.shape[1] == 5 * 6 == network.position(65, 81).shape[1]


def test_queries_start_on_their_grid(network: MDETR, config: Config):
    assert config.network.query_grid == [2, 3]
    first = network.query_embed.weight[0]
    torch.testing.assert_close(
        first[:2], torch.tensor([math.sin(math.pi / 2), math.cos(math.pi / 2)]), atol=1e-5, rtol=0
    )


def test_keys_follow_the_released_names(network: MDETR):
    keys = set(network.state_dict())
    for key in [
        "transformer.encoder.layers.0.self_attn.in_proj_weight",
        "transformer.decoder.layers.1.cross_attn_image.out_proj.bias",
        "transformer.decoder.layers.0.norm4.weight",
        "transformer.decoder.norm.weight",
        "transformer.text_encoder.encoder.layer.0.attention.self.query.weight",
        "transformer.resizer.fc.weight",
        "backbone.0.body.layer1.0.conv1.weight",
        "bbox_embed.layers.2.bias",
        "class_embed.weight",
        "query_embed.weight",
        "input_proj.weight",
        "contrastive_align_projection_text.weight",
    ]:
        assert key in keys
    assert not any("norm2" in k and "decoder" in k for k in keys)


def test_weights_round_trip(network: MDETR, config: Config, tmp_path):
    weights.round_weights(network)
    weights.save(tmp_path / "weights.safetensors", config, network)
    restored_config, restored = weights.load(tmp_path / "weights.safetensors")
    assert restored_config.network == config.network
    for name, value in network.state_dict().items():
        assert torch.equal(restored.state_dict()[name], value), name


def test_weights_with_every_head_round_trip(config: Config, tmp_path):
    c = replace(config.network, answers="clevr", answer_attributes=["red", "blue"], masks=True)
    network = build(c)
    weights.round_weights(network)
    weights.save(tmp_path / "weights.safetensors", replace(config, network=c), network)
    restored_config, restored = weights.load(tmp_path / "weights.safetensors")
    assert restored_config.network == c
    assert restored.answers == {"type": 3, "binary": 1, "reg": 20, "attr": 2}
    for name, value in network.state_dict().items():
        assert torch.equal(restored.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"answer_attributes": ["red"]}, 'answer_attributes: expected answers = "clevr"'),
        ({"answers": "clevr", "answer_attributes": ["red", "red"]}, "expected different words"),
        (
            {"answers": "clevr", "answer_attributes": ["red"], "answer_classes": [3, 1, 20, 15]},
            r"answer_classes: expected \[3, 1, 20, 1\], .* leave answer_classes out",
        ),
        (
            {"answers": "clevr", "answer_attributes": ["red"], "answers_from_objects": True},
            "answers_from_objects: expected answer_attributes with every value of shape",
        ),
        (
            {
                "answers": "clevr",
                "answer_attributes": [*(v for x in ATTRIBUTES.values() for v in x), "pink"],
                "answers_from_objects": True,
            },
            "and no others, found",
        ),
        ({"masks": True, "mask_width": 20}, "mask_width: expected a multiple of 8, found 20"),
    ],
)
def test_impossible_heads_are_refused(config: Config, values: dict, message: str):
    with pytest.raises(ValueError, match=message):
        build(replace(config.network, **values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nmae": "x"}, "nmae: unknown key"),
        ({"network": {"d_model": "wide"}}, "network.d_model: expected int, found 'wide'"),
        ({"network": 3}, "network: expected a table"),
        ({"stages": [{"stesp": 1}]}, r"stages\[0\].stesp: unknown key"),
    ],
)
def test_config_errors_name_the_place(values, message):
    with pytest.raises(ValueError, match=message):
        from_dict(values)
