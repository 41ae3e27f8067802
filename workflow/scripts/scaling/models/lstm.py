"""LSTM of the paper's comparison with Transformers (Kaplan et al. 2020, section 3.2.1)."""

import math

from torch import nn

from scaling.models.language_model import LanguageModel

OUTPUT_STD = 0.25
"""About the deviation of a fresh layer's outputs, at any width, for gates fed at unit deviation."""


class LSTM(LanguageModel):
    """``n_layer`` LSTM layers of width ``d_model``, whose state starts at zero for every sequence.

    The layers stand between two layer norms, as a Transformer's do, since the embedding that the head
    shares is too small to feed them and their bounded outputs are too small for the head: without the norms
    a network stays for hundreds of steps at the frequencies of single tokens. Dropout acts on the
    embeddings and between layers.
    """

    def __init__(self, *, n_layer, d_model, n_vocab, n_ctx, dropout, tied, precision):
        super().__init__(
            d_model=d_model, n_vocab=n_vocab, n_ctx=n_ctx, dropout=dropout, tied=tied, precision=precision
        )
        self.embedding_norm = nn.LayerNorm(d_model)
        # one by one: on a GPU, nn.LSTM's own dropout draws from a generator that no seed resets
        self.layers = nn.ModuleList(nn.LSTM(d_model, d_model, batch_first=True) for _ in range(n_layer))
        self.final_norm = nn.LayerNorm(d_model)
        self._initialise(d_model)

    def _initialise(self, d_model):
        """Weights as 1/√fan_in of inputs with unit deviation, so that no layer starts fainter than the first.

        The forget gates start open, with a bias of 1 (Jozefowicz et al. 2015): the state remembers.
        """
        self.initialise_embeddings()
        for i, layer in enumerate(self.layers):
            inputs, recurrent, bias, second_bias = layer.all_weights[0]
            nn.init.normal_(inputs, std=1 / math.sqrt(d_model) / (OUTPUT_STD if i else 1))
            nn.init.normal_(recurrent, std=1 / math.sqrt(d_model))
            nn.init.zeros_(bias)
            nn.init.zeros_(second_bias)
            nn.init.ones_(bias[d_model : 2 * d_model])

    def features(self, tokens):
        x = self.embedding_norm(self.token_embedding(tokens))
        for layer in self.layers:
            x, _ = layer(self.dropout(x))
        return self.final_norm(x)
