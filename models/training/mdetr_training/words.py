"""Attribute words against image tokens, before the transformer.

A network that starts from nothing finds boxes long before it binds words to them. This loss
gives it the words first: the mean text feature of a single word, scored against each image token
by a dot product, says whether the object under the token has that attribute.
"""

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from .batch import Batch
from .data import ATTRIBUTES
from .network import MDETR
from .segmentation import DETRsegm
from .tokenizer import PAD_ID

SYNONYMS = {
    "sphere": ["ball"],
    "cube": ["block", "box"],
    "small": ["tiny"],
    "large": ["big"],
    "matte": ["rubber", "dull"],
    "shiny": ["metal", "metallic"],
    "gray": ["grey"],
}


class Words(nn.Module):
    """The words, their attributes and the scale and bias of their scores."""

    def __init__(self, tokenizer: Tokenizer, d_model: int):
        super().__init__()
        texts, attribute, value = [], [], []
        for a, values in enumerate(ATTRIBUTES.values()):
            for v, name in enumerate(values):
                for word in [name, *SYNONYMS.get(name, [])]:
                    for text in (f"a {word}", word) if a == 0 else (f"a {word} object", word):
                        texts.append((text, word))
                        attribute.append(a)
                        value.append(v)
        encodings = tokenizer.encode_batch([text for text, _ in texts])
        length = max(len(e.ids) for e in encodings)
        ids = torch.full((len(texts), length), PAD_ID)
        select = torch.zeros(len(texts), length)
        for i, (encoding, (text, word)) in enumerate(zip(encodings, texts, strict=True)):
            ids[i, : len(encoding.ids)] = torch.tensor(encoding.ids)
            begin = text.index(word)
            for t in range(len(encoding.ids)):
                token = encoding.offsets[t]
                inside = begin <= token[0] and token[1] <= begin + len(word)
                if inside and token[1] > token[0]:
                    select[i, t] = 1.0
        select /= select.sum(1, keepdim=True)
        self.register_buffer("ids", ids, persistent=False)
        self.register_buffer("select", select, persistent=False)
        self.register_buffer("attribute", torch.tensor(attribute), persistent=False)
        self.register_buffer("value", torch.tensor(value), persistent=False)
        self.scale = nn.Parameter(torch.tensor(d_model**-0.5))
        self.bias = nn.Parameter(torch.full((len(texts),), -2.0))

    def features(self, network: MDETR | DETRsegm) -> Tensor:
        """Mean text feature of each word, [W, d]."""
        memory = network.text(self.ids, (self.ids != PAD_ID).long())
        return (self.select[..., None] * memory).sum(1)

    def loss(
        self, network: MDETR | DETRsegm, tokens: Tensor, batch: Batch
    ) -> tuple[Tensor, Tensor]:
        """Of image tokens [I, N, d]: binary cross-entropy of every word and token, plus, over the
        tokens that show an object, cross-entropy among the values of each attribute; and the
        share of objects' tokens whose best value is right, per attribute, [4].

        The binary part alone leaves a rare value a plateau: "never" is right for seven colours of
        eight.
        """
        scores = tokens @ self.features(network).to(tokens.dtype).T
        scores = scores.float() * self.scale + self.bias
        inside = batch.scene.cells > 0
        image, token = inside.nonzero(as_tuple=True)
        owned = batch.scene.attributes[image, batch.scene.cells[image, token] - 1]
        target = owned[:, self.attribute] == self.value
        scores_inside = scores[image, token]
        binary = F.binary_cross_entropy_with_logits(scores_inside, target.float())
        binary = binary + 0.25 * F.softplus(scores[~inside]).mean()
        among = torch.zeros(())
        accuracy = []
        for a, values in enumerate(ATTRIBUTES.values()):
            logits = torch.stack(
                [
                    scores_inside[:, (self.attribute == a) & (self.value == v)].mean(1)
                    for v in range(len(values))
                ],
                dim=1,
            )
            told = max(int((owned[:, a] >= 0).sum()), 1)
            loss = F.cross_entropy(logits, owned[:, a], reduction="sum", ignore_index=-1)
            among = among + loss / told
            accuracy.append((logits.argmax(1) == owned[:, a]).float().sum() / told)
        return binary + among / len(ATTRIBUTES), torch.stack(accuracy)
