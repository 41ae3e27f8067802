"""Decoder-only Transformer of the paper: pre-layer-norm, learned positions, GELU; recurrent if reused."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from scaling.models.language_model import LanguageModel
from scaling.models.layers import Linear


class Block(nn.Module):
    """Causal self-attention and a feed-forward layer, each added to the residual stream."""

    def __init__(self, *, d_model, d_ff, n_head, d_attn, dropout):
        super().__init__()
        self.n_head, self.dropout = n_head, dropout
        self.attention_norm = nn.LayerNorm(d_model)
        self.qkv = Linear(d_model, 3 * d_attn)
        self.project = Linear(d_attn, d_model)
        self.feed_norm = nn.LayerNorm(d_model)
        self.expand = Linear(d_model, d_ff)
        self.contract = Linear(d_ff, d_model)

    def forward(self, x):
        batch, length, _ = x.shape
        q, k, v = self.qkv(self.attention_norm(x)).view(batch, length, 3, self.n_head, -1).unbind(2)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=dropout)
        x = x + self._drop(self.project(attended.transpose(1, 2).reshape(batch, length, -1)))
        return x + self._drop(self.contract(F.gelu(self.expand(self.feed_norm(x)))))

    def _drop(self, x):
        return F.dropout(x, self.dropout, self.training) if self.dropout else x


class Transformer(LanguageModel):
    """A stack of ``n_layer`` blocks, run through ``reuse`` times with the same weights.

    ``reuse`` above 1 makes it the paper's recurrent Transformer (Kaplan et al. 2020, appendix D.2). Dropout
    acts on embeddings, attention and what each layer adds, as in GPT-2. With ``recompute`` set, a block's
    activations are made anew in the backward pass instead of kept.
    """

    def __init__(self, *, n_layer, d_model, d_ff, n_head, d_attn, n_ctx, n_vocab, dropout, tied, precision,
                 reuse=1):  # fmt: skip
        super().__init__(
            d_model=d_model, n_vocab=n_vocab, n_ctx=n_ctx, dropout=dropout, tied=tied, precision=precision
        )
        self.reuse, self.recompute = reuse, False
        self.position_embedding = nn.Parameter(torch.empty(n_ctx, d_model))
        shape = {"d_model": d_model, "d_ff": d_ff, "n_head": n_head, "d_attn": d_attn}
        self.blocks = nn.ModuleList(Block(**shape, dropout=dropout) for _ in range(n_layer))
        self.final_norm = nn.LayerNorm(d_model)
        self._initialise(n_layer * reuse)

    def _initialise(self, depth):
        """Weights as 1/√fan_in, so that one learning-rate rule serves widths from 8 to thousands.

        Layers that write to the residual stream shrink with depth to keep its variance.
        """
        self.initialise_embeddings()
        nn.init.normal_(self.position_embedding, std=0.02)
        for block in self.blocks:
            for layer in (block.qkv, block.project, block.expand, block.contract):
                std = 1 / math.sqrt(layer.in_features)
                if layer in (block.project, block.contract):
                    std /= math.sqrt(2 * depth)
                nn.init.normal_(layer.weight, std=std)
                nn.init.zeros_(layer.bias)

    def features(self, tokens):
        x = self.dropout(self.token_embedding(tokens) + self.position_embedding[: tokens.shape[1]])
        for _ in range(self.reuse):
            for block in self.blocks:
                if self.recompute and torch.is_grad_enabled():
                    # imported here: it brings torch's compiler along, a second that most runs save
                    from torch.utils.checkpoint import checkpoint

                    x = checkpoint(block, x, use_reentrant=False)
                else:
                    x = block(x)
        return self.final_norm(x)
