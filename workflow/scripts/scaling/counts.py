"""Parameters and FLOPs of a Transformer's shape, in the conventions that published exponents depend on.

Plain integer arithmetic on a shape, without torch, so that planning needs no network in memory.
Every function takes the fields of a run by name and ignores the rest of it.
"""


def non_embedding(*, n_layer, d_model, d_ff, **_):
    """N: weights outside embeddings, biases and norms left out (Kaplan et al. 2020, eq. 2.1).

    N = 2 · d_model · n_layer · (2 · d_attn + d_ff), with d_attn = d_model; 12 · n_layer · d_model² at
    d_ff = 4 · d_model.
    """
    return 2 * d_model * n_layer * (2 * d_model + d_ff)


def biases_and_norms(*, n_layer, d_model, d_ff, **_):
    """What the paper's N leaves out of the blocks: biases, the gains and offsets of the layer norms."""
    per_layer = 3 * d_model + d_model + d_ff + d_model + 2 * 2 * d_model
    return n_layer * per_layer + 2 * d_model


def embeddings(*, d_model, n_vocab, n_ctx, **_):
    """Token and position embeddings; the output head shares the token embedding's weights."""
    return (n_vocab + n_ctx) * d_model


def trainable(**shape):
    """Every trainable parameter of the network, as torch counts them."""
    return non_embedding(**shape) + biases_and_norms(**shape) + embeddings(**shape)


def flops_per_token(*, n_layer, d_model, d_ff, n_vocab, n_ctx, **_):
    """Training FLOPs per token (forward and backward, a multiply-add counted as two), by convention.

    ``6N`` is the paper's C = 6 N B S (section 2.1); ``head`` adds the output head,
    6 · d_model · n_vocab (Porian et al. 2024, Pearce & Song 2024); ``attention`` adds to that the scores
    and weighted sums over the context, 3 · 2 · 2 · n_layer · n_ctx · d_model with the whole context counted.
    The paper's own forward figure, 2N + 2 · n_layer · n_ctx · d_attn, counts a causal half of it.
    """
    body = 6 * non_embedding(n_layer=n_layer, d_model=d_model, d_ff=d_ff)
    head = body + 6 * d_model * n_vocab
    return {"6N": body, "head": head, "attention": head + 12 * n_layer * n_ctx * d_model}
