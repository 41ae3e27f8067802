"""Decoder-only Transformer of the paper: pre-layer-norm, learned positions, GELU, tied embeddings."""

import math

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    """Causal self-attention and a feed-forward layer, each added to the residual stream."""

    def __init__(self, *, d_model, d_ff, n_head):
        super().__init__()
        self.n_head = n_head
        self.attention_norm = nn.LayerNorm(d_model)
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.project = nn.Linear(d_model, d_model)
        self.feed_norm = nn.LayerNorm(d_model)
        self.expand = nn.Linear(d_model, d_ff)
        self.contract = nn.Linear(d_ff, d_model)

    def forward(self, x):
        batch, length, d_model = x.shape
        q, k, v = self.qkv(self.attention_norm(x)).view(batch, length, 3, self.n_head, -1).unbind(2)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(attended.transpose(1, 2).reshape(batch, length, d_model))
        return x + self.contract(F.gelu(self.expand(self.feed_norm(x))))


class Transformer(nn.Module):
    """From token ids (batch, length ≤ n_ctx) to the next token's logits (batch, length, n_vocab)."""

    def __init__(self, *, n_layer, d_model, d_ff, n_head, n_ctx, n_vocab):
        super().__init__()
        self.token_embedding = nn.Embedding(n_vocab, d_model)
        self.position_embedding = nn.Parameter(torch.empty(n_ctx, d_model))
        self.blocks = nn.ModuleList(Block(d_model=d_model, d_ff=d_ff, n_head=n_head) for _ in range(n_layer))
        self.final_norm = nn.LayerNorm(d_model)
        self._initialise(n_layer)

    def _initialise(self, n_layer):
        """Weights as 1/√fan_in, so that one learning-rate rule serves widths from 8 to thousands.

        Embeddings are small because the head shares them: at unit deviation the first losses, and at this
        scale the last ones too, are far worse. Layers that write to the residual stream shrink with
        depth to keep its variance.
        """
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.position_embedding, std=0.02)
        for block in self.blocks:
            for layer in (block.qkv, block.project, block.expand, block.contract):
                std = 1 / math.sqrt(layer.in_features)
                if layer in (block.project, block.contract):
                    std /= math.sqrt(2 * n_layer)
                nn.init.normal_(layer.weight, std=std)
                nn.init.zeros_(layer.bias)

    def forward(self, tokens):
        x = self.token_embedding(tokens) + self.position_embedding[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return F.linear(self.final_norm(x), self.token_embedding.weight)
