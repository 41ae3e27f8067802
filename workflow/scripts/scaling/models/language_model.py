"""What every network here is: embeddings, a body of its own, and a head with its loss."""

import torch
from torch import nn
from torch.nn import functional as F

from scaling.models.cross_entropy import cross_entropy


class LanguageModel(nn.Module):
    """Base of the networks: a subclass turns token ids into features (:meth:`features`).

    ``tied``: the output head shares the token embedding's weights. ``precision``: ``fp32``, or ``bf16`` for
    activations and products in bfloat16 with weights, norms and losses in fp32 (autocast).
    """

    def __init__(self, *, d_model, n_vocab, n_ctx, dropout, tied, precision):
        super().__init__()
        self.n_ctx, self.precision = n_ctx, precision
        self.token_embedding = nn.Embedding(n_vocab, d_model)
        self.output = None if tied else nn.Parameter(torch.empty(n_vocab, d_model))
        self.dropout = nn.Dropout(dropout)

    def initialise_embeddings(self):
        """Small, since the head shares them: at unit deviation losses are far worse, first and last."""
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        if self.output is not None:
            nn.init.normal_(self.output, std=0.02)

    @property
    def head(self):
        """Weights of the output head, (n_vocab, d_model)."""
        return self.token_embedding.weight if self.output is None else self.output

    def features(self, tokens):
        """What the head reads, (batch, length, d_model), from token ids (batch, length ≤ n_ctx)."""
        raise NotImplementedError

    def _features(self, tokens):
        if self.precision == "fp32":
            return self.features(tokens)
        with torch.autocast(tokens.device.type, torch.bfloat16):
            return self.features(tokens).bfloat16()

    def forward(self, tokens, targets):
        """Cross-entropy in nats: its mean, which can be differentiated, and (batch, length), which cannot.

        ``tokens``, ``targets``: ids (batch, length ≤ n_ctx).
        """
        features = self._features(tokens).flatten(0, 1)
        mean, losses = cross_entropy(features, self.head, targets.flatten())
        return mean, losses.view(targets.shape)

    def logits(self, tokens):
        """Logits of the token after each, fp32, (batch, length, n_vocab)."""
        features = self._features(tokens)
        return F.linear(features, self.head.to(features.dtype)).float()
