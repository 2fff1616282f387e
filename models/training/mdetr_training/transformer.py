"""Text encoder, fusion encoder and decoder. Batch-first: tokens are [B, S, d]."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import RobertaConfig, RobertaModel

from .config import NetworkConfig, TextConfig


class Attention(nn.Module):
    """Multi-head attention with torch.nn.MultiheadAttention's parameters."""

    def __init__(self, d_model: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * d_model, d_model))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * d_model))
        self.out_proj = nn.Linear(d_model, d_model)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """query [B, T, d], key and value [B, S, d]; mask, added to the scores, [B, 1, 1, S]."""
        wq, wk, wv = self.in_proj_weight.chunk(3)
        bq, bk, bv = self.in_proj_bias.chunk(3)
        q = self._split(F.linear(query, wq, bq))
        k = self._split(F.linear(key, wk, bk))
        v = self._split(F.linear(value, wv, bv))
        # Not torch's fused attention: on CPUs its gradients take longer than these products.
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        if mask is not None:
            scores = scores + mask.to(scores.dtype)
        weights = scores.softmax(-1)
        if self.training and self.dropout:
            weights = F.dropout(weights, self.dropout)
        x = weights.to(v.dtype) @ v
        return self.out_proj(x.transpose(1, 2).flatten(2))

    def to_own(self, query: Tensor, own: Tensor, mask: Tensor) -> Tensor:
        """As `forward` for queries [N, d], each of which has keys, its values too, that are its
        own, [N, S, d]; mask [N, S], added to the scores.

        Not the N * S keys are projected: each head's query goes to their space, and what it reads
        of them comes back from there. A bias of keys adds the same to all scores of a query.
        """
        wq, wk, wv = self.in_proj_weight.chunk(3)
        bq, _, bv = self.in_proj_bias.chunk(3)
        q = F.linear(query, wq, bq).unflatten(-1, (self.heads, -1)).transpose(0, 1)
        sought = (q * q.shape[-1] ** -0.5) @ wk.unflatten(0, (self.heads, -1))
        scores = sought.transpose(0, 1) @ own.transpose(1, 2)
        weights = (scores + mask[:, None].to(scores.dtype)).softmax(-1)
        if self.training and self.dropout:
            weights = F.dropout(weights, self.dropout)
        read = (weights.to(own.dtype) @ own).transpose(0, 1)
        x = read @ wv.unflatten(0, (self.heads, -1)).transpose(1, 2)
        return self.out_proj(x.transpose(0, 1).flatten(1) + bv)


class EncoderLayer(nn.Module):
    """Post-norm self-attention and feed-forward."""

    def __init__(self, c: NetworkConfig):
        super().__init__()
        self.self_attn = Attention(c.d_model, c.heads, c.dropout)
        self.linear1 = nn.Linear(c.d_model, c.ffn)
        self.linear2 = nn.Linear(c.ffn, c.d_model)
        self.norm1 = nn.LayerNorm(c.d_model)
        self.norm2 = nn.LayerNorm(c.d_model)
        self.drop = nn.Dropout(c.dropout)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        q = x + position
        x = self.norm1(x + self.drop(self.self_attn(q, q, x, mask)))
        hidden = self.drop(F.relu(self.linear1(x)))
        return self.norm2(x + self.drop(self.linear2(hidden)))


class DecoderLayer(nn.Module):
    """Post-norm self-attention among queries, cross-attention to the memory, feed-forward."""

    def __init__(self, c: NetworkConfig):
        super().__init__()
        self.self_attn = Attention(c.d_model, c.heads, c.dropout)
        self.cross_attn_image = Attention(c.d_model, c.heads, c.dropout)
        self.linear1 = nn.Linear(c.d_model, c.ffn)
        self.linear2 = nn.Linear(c.ffn, c.d_model)
        self.norm1 = nn.LayerNorm(c.d_model)
        self.norm3 = nn.LayerNorm(c.d_model)
        self.norm4 = nn.LayerNorm(c.d_model)
        self.drop = nn.Dropout(c.dropout)

    def forward(
        self, t: Tensor, query: Tensor, memory: Tensor, key: Tensor, mask: Tensor
    ) -> Tensor:
        q = t + query
        t = self.norm1(t + self.drop(self.self_attn(q, q, t, None)))
        t = self.norm3(t + self.drop(self.cross_attn_image(t + query, key, memory, mask)))
        hidden = self.drop(F.relu(self.linear1(t)))
        return self.norm4(t + self.drop(self.linear2(hidden)))


class Encoder(nn.Module):
    """A stack of encoder layers without a final norm."""

    def __init__(self, c: NetworkConfig):
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(c) for _ in range(c.encoder_layers))

    def forward(self, x: Tensor, position: Tensor, mask: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, position, mask)
        return x


class Decoder(nn.Module):
    """A stack of decoder layers; every layer's output passes the shared final norm."""

    def __init__(self, c: NetworkConfig):
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(c) for _ in range(c.decoder_layers))
        self.norm = nn.LayerNorm(c.d_model)

    def forward(
        self, query: Tensor, memory: Tensor, position: Tensor, mask: Tensor
    ) -> list[Tensor]:
        """query [B, Q, d], memory [B, S, d] -> one [B, Q, d] per layer."""
        t = torch.zeros_like(query)
        key = memory + position
        outputs = []
        for layer in self.layers:
            t = layer(t, query, memory, key, mask)
            outputs.append(self.norm(t))
        return outputs


class Resizer(nn.Module):
    """Text features to the transformer's width."""

    def __init__(self, hidden: int, d_model: int, dropout: float):
        super().__init__()
        self.fc = nn.Linear(hidden, d_model)
        self.layer_norm = nn.LayerNorm(d_model, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.layer_norm(self.fc(x)))


def roberta(c: TextConfig, dropout: float) -> RobertaModel:
    """A RoBERTa encoder with random weights."""
    config = RobertaConfig(
        vocab_size=c.vocab_size,
        hidden_size=c.hidden,
        num_hidden_layers=c.layers,
        num_attention_heads=c.heads,
        intermediate_size=c.ffn,
        max_position_embeddings=c.max_positions,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        attn_implementation="eager",
    )
    return RobertaModel(config)


class Transformer(nn.Module):
    """Everything between the projected image tokens and the heads."""

    def __init__(self, c: NetworkConfig):
        super().__init__()
        self.encoder = Encoder(c)
        self.decoder = Decoder(c)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        self.text_encoder = roberta(c.text, c.dropout)
        self.resizer = Resizer(c.text.hidden, c.d_model, c.dropout)
        self.position_in_content = c.position_in_content

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """[B, L] -> text memory [B, L, d]."""
        features = self.text_encoder(input_ids, attention_mask=attention_mask).last_hidden_state
        return self.resizer(features)

    def fuse(
        self,
        tokens: Tensor,
        position: Tensor,
        text_memory: Tensor,
        text_mask: Tensor,
        padding: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Image tokens [F, N, d] (F divides into B by broadcasting), position [1, N, d], text
        memory [B, L, d], text mask [B, L] (1 = token) -> memory [B, N + L, d], its position and
        the additive key mask.

        Padding [B, N], bool, marks image tokens beside a picture, which nothing looks at; with it
        the position is [B, N, d]. Graphs never have it.
        """
        batch = text_memory.shape[0]
        if self.position_in_content:
            tokens = tokens + position
        tokens = tokens.expand(batch, -1, -1)
        x = torch.cat([tokens, text_memory], dim=1)
        zeros = torch.zeros_like(text_memory[:1] if padding is None else text_memory)
        full_position = torch.cat([position, zeros], dim=1)
        image_mask = torch.ones_like(tokens[:, :, 0])
        if padding is not None:
            image_mask = image_mask.masked_fill(padding, 0.0)
        keep = torch.cat([image_mask, text_mask.to(image_mask.dtype)], dim=1)
        mask = ((1.0 - keep) * MASKED)[:, None, None, :]
        return self.encoder(x, full_position, mask), full_position, mask


MASKED = -1e4
"""Added to the scores of padded keys: their weight underflows to zero in fp32 and in fp16."""
