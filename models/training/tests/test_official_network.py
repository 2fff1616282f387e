"""The released structures' parts against torchvision, timm and MDETR's definition."""

import math
from dataclasses import replace

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from timm.layers import BatchNormAct2d
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from mdetr_training import backbone, structures
from mdetr_training.fold import FROZEN_NORMS, folded
from mdetr_training.random_weights import random_network


def with_statistics(body: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for module in body.modules():
        if isinstance(module, FROZEN_NORMS):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.uniform_(0.5, 1.5)
            module.bias.uniform_(-0.2, 0.2)
    return body.eval()


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    names = ["resnet101_phrasecut", "efficientnetB3_phrasecut", "resnet101_gqa", "clevr"]
    configs = {n: structures.config(n, reduced=True).network for n in names}
    small = replace(
        configs["resnet101_phrasecut"],
        backbone="small-resnet",
        backbone_widths=[8, 8, 16, 24],
        backbone_blocks=[1, 1, 1],
        contrastive_dim=8,
    )
    configs |= {"small-resnet": small, "narrow": replace(small, mask_width=8)}
    return {n: random_network(c) for n, c in configs.items()}


def inputs(network: nn.Module, height: int, width: int, length: int) -> tuple[torch.Tensor, ...]:
    """An image [1, 3, H, W] and token ids [1, L]."""
    generator = torch.Generator().manual_seed(3)
    image = torch.randn(1, 3, height, width, generator=generator)
    return image, torch.randint(5, 261, (1, length), generator=generator)


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_resnet_equals_torchvision(name: str):
    ours = with_statistics(backbone.build(name, [], []))
    theirs = getattr(torchvision.models, name)(norm_layer=FrozenBatchNorm2d)
    theirs.fc = nn.Identity()
    theirs.load_state_dict(ours.state_dict())
    image = torch.randn(1, 3, 75, 107)
    expected = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))
    found = ours.features(image)
    for i, level in enumerate(found, start=1):
        expected = getattr(theirs, f"layer{i}")(expected)
        torch.testing.assert_close(level, expected, atol=1e-4, rtol=1e-5)
    assert [f.shape[1] for f in found] == [*ours.pyramid, ours.channels]


@torch.no_grad()
@pytest.mark.parametrize("name", ["tf_efficientnet_b3", "tf_efficientnet_b5"])
def test_efficientnet_equals_timm_with_mdetrs_epsilon(name: str):
    ours = with_statistics(backbone.build(name, [], []))
    theirs = timm.create_model(name, features_only=True, out_indices=(1, 2, 3, 4)).eval()
    assert theirs.load_state_dict(ours.state_dict(), strict=False).unexpected_keys == []
    for module in theirs.modules():
        if isinstance(module, BatchNormAct2d):
            module.eps = 1e-5
    image = torch.randn(1, 3, 75, 107)
    found = ours.features(image)
    for f, e in zip(found, theirs(image), strict=True):
        torch.testing.assert_close(f, e, atol=1e-4, rtol=1e-4)
    assert [f.shape[1] for f in found] == [*ours.pyramid, ours.channels]
    assert [tuple(f.shape[2:]) for f in found] == [(19, 27), (10, 14), (5, 7), (3, 4)]


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_b3"])
def test_frozen_norms(name: str):
    """y = (x - mean) weight / sqrt(var + 1e-5) + bias, then the activation."""
    norm = with_statistics(backbone.build(name, [], [])).bn1
    norm.running_var.zero_()
    x = torch.randn(1, norm.weight.numel(), 2, 2)
    column = (slice(None), None, None)
    expected = (x - norm.running_mean[column]) * norm.weight[column] / math.sqrt(1e-5)
    expected = expected + norm.bias[column]
    if name != "resnet18":
        expected = expected * expected.sigmoid()
    torch.testing.assert_close(norm(x), expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_every_norm_of_an_efficientnet_keeps_its_activation():
    body = backbone.build("tf_efficientnet_b3", [], [])
    for name, module in body.named_modules():
        if isinstance(module, FROZEN_NORMS):
            linear = name.endswith("bn3") or (name.startswith("blocks.0.") and name.endswith("bn2"))
            assert isinstance(module.act, nn.Identity if linear else nn.SiLU), name


@torch.no_grad()
@pytest.mark.parametrize(("kernel", "stage"), [(3, 1), (5, 2)])
@pytest.mark.parametrize(("rows", "columns"), [(8, 9), (13, 6)])
def test_same_padding(kernel: int, stage: int, rows: int, columns: int):
    """max((ceil(n / 2) - 1) 2 + k - n, 0) zeros, the larger half at the end."""
    conv = backbone.build("tf_efficientnet_b3", [], []).blocks[stage][0].conv_dw
    assert conv.kernel_size == (kernel, kernel) and conv.stride == (2, 2)
    x = torch.randn(1, conv.in_channels, rows, columns)
    total = [max((-(-n // 2) - 1) * 2 + kernel - n, 0) for n in (columns, rows)]
    pads = [p for t in total for p in (t // 2, t - t // 2)]
    expected = F.conv2d(F.pad(x, pads), conv.weight, stride=2, groups=conv.groups)
    torch.testing.assert_close(conv(x), expected, atol=1e-6, rtol=0)
    assert expected.shape[2:] == (-(-rows // 2), -(-columns // 2))


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet101_phrasecut", "clevr"])
def test_folded_norms_change_nothing(networks, name: str):
    """The EfficientNets' padding goes back in the graph only; their export is tested there."""
    network = networks[name]
    light = folded(network)
    assert not any(isinstance(m, FROZEN_NORMS) for m in light.modules())
    assert any(isinstance(m, FROZEN_NORMS) for m in network.modules())
    image, _ = inputs(network, 75, 107, 5)
    found, expected = light.vision(image), network.vision(image)
    for f, e in zip(found, expected, strict=True):
        torch.testing.assert_close(f, e, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet101_gqa", "clevr"])
def test_answers_come_from_the_first_decoder_layer(networks, name: str):
    network = networks[name]
    image, ids = inputs(network, 64, 96, 7)
    mask = torch.ones_like(ids)
    fused = network.transformer.fuse(
        network.vision(image), network.position(64, 96), network.text(ids, mask), mask
    )
    queries = torch.cat([network.query_embed.weight, network.qa_embed.weight])[None]
    first, *_, last = network.transformer.decoder(queries, *fused)
    outputs = network.fusion(
        network.vision(image), network.position(64, 96), network.text(ids, mask), mask
    )
    found = dict(zip(network.fusion_outputs, outputs, strict=True))
    q = network.config.queries
    torch.testing.assert_close(found["logits"], network.class_embed(last[:, :q]))
    order = {
        "resnet101_gqa": ["type", "obj", "rel", "attr", "cat", "global"],
        "clevr": ["type", "binary", "reg", "attr"],
    }
    assert [k for k in found if k.startswith("answer")] == [f"answer_{n}" for n in order[name]]
    for i, head in enumerate(order[name]):
        x = first[:, q + i]
        module = getattr(network, f"answer_{head}_head")
        for layer in getattr(module, "layers", [module])[:-1]:
            x = F.relu(F.linear(x, layer.weight, layer.bias))
        layer = getattr(module, "layers", [module])[-1]
        expected = F.linear(x, layer.weight, layer.bias)
        torch.testing.assert_close(found[f"answer_{head}"], expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_training_sees_the_answers_that_the_graph_gives(networks):
    network = networks["clevr"]
    image, ids = inputs(network, 64, 96, 7)
    mask = torch.ones_like(ids)
    seen = network.vision(image), network.position(64, 96), network.text(ids, mask), mask
    expected = dict(zip(network.fusion_outputs, network.fusion(*seen), strict=True))
    found = network(*seen)
    assert list(found.answers) == ["type", "binary", "reg", "attr"]
    for head, logits in found.answers.items():
        torch.testing.assert_close(logits, expected[f"answer_{head}"])
    assert found.logits.shape[2] == network.config.queries
    torch.testing.assert_close(found.logits[-1], expected["logits"])


@torch.no_grad()
def test_attention_maps_sum_to_one_per_query_and_head(networks):
    attention = networks["resnet101_phrasecut"].bbox_attention
    hidden, memory = torch.randn(1, 3, 16), torch.randn(1, 12, 16)
    found = attention(hidden, memory)
    assert found.shape == (1, 3, 8, 12)
    torch.testing.assert_close(found.sum(-1), torch.ones(1, 3, 8))
    q, k = attention.q_linear(hidden)[0], attention.k_linear(memory)[0]
    head = slice(2 * 5, 2 * 6)
    expected = (k[:, head] @ q[1, head] / math.sqrt(2)).softmax(0)
    torch.testing.assert_close(found[0, 1, 5], expected)


@torch.no_grad()
def test_attention_maps_leave_padding_out(networks):
    """As if the picture were alone."""
    attention = networks["resnet101_phrasecut"].bbox_attention
    hidden, memory = torch.randn(2, 3, 16), torch.randn(2, 12, 16)
    padding = torch.zeros(2, 12, dtype=torch.bool)
    padding[0, 9:] = True
    found = attention(hidden, memory, padding)
    assert not found[0, :, :, 9:].any()
    torch.testing.assert_close(found[:1, :, :, :9], attention(hidden[:1], memory[:1, :9]))
    torch.testing.assert_close(found[1:], attention(hidden[1:], memory[1:]))


@torch.no_grad()
@pytest.mark.parametrize(
    "name", ["resnet101_phrasecut", "efficientnetB3_phrasecut", "small-resnet", "narrow"]
)
@pytest.mark.parametrize(("height", "width"), [(64, 96), (75, 107)])
def test_masks_follow_the_definition(networks, name: str, height: int, width: int):
    """Image features and attention maps stacked, an upsampling for each map of the backbone, a
    group norm after each convolution."""
    network = networks[name]
    image, ids = inputs(network, height, width, 7)
    mask = torch.ones_like(ids)
    tokens, *pyramid = network.vision(image)
    position = network.position(height, width)
    outputs = network.fusion(tokens, position, network.text(ids, mask), mask)
    _, _, hidden, memory = outputs
    kept = hidden[:, [1, 4, 6]]
    found = network.mask(kept, memory, tokens, *pyramid)

    rows, columns = -(-height // network.stride), -(-width // network.stride)
    maps = network.bbox_attention(kept, memory)[0].reshape(3, 8, rows, columns)
    grid = tokens[0].T.reshape(1, -1, rows, columns).expand(3, -1, -1, -1)
    state = network.mask_head.state_dict()

    def layer(x: torch.Tensor, i: int) -> torch.Tensor:
        x = F.conv2d(x, state[f"lay{i}.weight"], state[f"lay{i}.bias"], padding=1)
        return F.relu(F.group_norm(x, 8, state[f"gn{i}.weight"], state[f"gn{i}.bias"], 1e-5))

    x = layer(layer(torch.cat([grid, maps], dim=1), 1), 2)
    for i, features in enumerate(pyramid, start=1):
        f = F.conv2d(features, state[f"adapter{i}.weight"], state[f"adapter{i}.bias"])
        x = layer(f + F.interpolate(x, size=f.shape[-2:], mode="nearest"), i + 2)
    expected = F.conv2d(x, state["out_lay.weight"], state["out_lay.bias"], padding=1)[:, 0]
    assert found.shape == (1, 3, -(-height // 4), -(-width // 4))
    torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet101_phrasecut", "efficientnetB3_phrasecut", "clevr"])
def test_random_weights_give_finite_and_varied_outputs(networks, name: str):
    network = networks[name]
    image, ids = inputs(network, 64, 96, 7)
    mask = torch.ones_like(ids)
    maps = network.vision(image)
    maps = maps if isinstance(maps, tuple) else (maps,)
    outputs = network.fusion(maps[0], network.position(64, 96), network.text(ids, mask), mask)
    for output in (*maps, *outputs):
        assert output.isfinite().all()
        assert output.abs().max() < 100
    scores = 1 - outputs[0].softmax(-1)[0, :, -1]
    assert 0.05 < scores.median() < 0.99
    assert scores.std() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "pyramid", "channels"),
    [
        ("resnet101_phrasecut", ["pyramid_16", "pyramid_8", "pyramid_4"], [32, 16, 16]),
        ("small-resnet", ["pyramid_8", "pyramid_4"], [16, 8]),
        ("clevr", [], []),
    ],
)
def test_pyramid(networks, name: str, pyramid: list[str], channels: list[int]):
    network = networks[name]
    assert list(network.pyramid) == pyramid
    maps = network.vision(torch.randn(1, 3, 75, 107))
    for stride, count, level in zip(network.pyramid.values(), channels, maps[1:], strict=False):
        assert level.shape == (1, count, -(-75 // stride), -(-107 // stride))


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet101_phrasecut", "narrow"])
def test_masks_of_several_images_at_once(networks, name: str):
    """As one image after the other."""
    network = networks[name]
    rows, columns = 3, 4
    maps = torch.randn(5, 8, rows, columns)
    tokens = torch.randn(2, 16, rows, columns)
    body = network.detr.backbone[0].body
    levels = [
        torch.randn(2, c, rows * 2**i, columns * 2**i)
        for i, c in enumerate(reversed(body.pyramid), start=1)
    ]
    image = torch.tensor([0, 1, 1, 0, 1])
    found = network.mask_head(tokens, maps, levels, image)
    for k, i in enumerate(image.tolist()):
        alone = network.mask_head(tokens[[i]], maps[[k]], [level[[i]] for level in levels])
        torch.testing.assert_close(found[[k]], alone, atol=1e-5, rtol=1e-5)
