"""Parameters and FLOPs of a network's shape, in the conventions that published exponents depend on.

Plain integer arithmetic on a shape, without torch, so that planning needs no network in memory.
Every function takes the fields of a run by name and ignores the rest of it. Of a shape that leaves them
out, ``architecture`` is transformer, ``d_attn`` is d_model, ``reuse`` is 1, and the head is tied.
"""


def non_embedding(*, n_layer, d_model, d_ff, d_attn=None, architecture="transformer", **_):
    """N: weights outside embeddings, biases and norms left out.

    Transformer: 2 · d_model · n_layer · (2 · d_attn + d_ff) (Kaplan et al. 2020, eq. 2.1), which is
    12 · n_layer · d_model² at d_attn = d_model and d_ff = 4 · d_model. Recurrent: the same, so that weights
    count once however often they are used. LSTM: 8 · n_layer · d_model², four gates that each read the
    layer's input and its own output.
    """
    if architecture == "lstm":
        return 8 * n_layer * d_model**2
    return 2 * d_model * n_layer * (2 * (d_attn or d_model) + d_ff)


def biases_and_norms(*, n_layer, d_model, d_ff, d_attn=None, architecture="transformer", **_):
    """What N leaves out of the layers: biases, and the gains and offsets of the layer norms.

    An LSTM of torch has two biases to each gate; it has a norm before its layers and one after them.
    """
    if architecture == "lstm":
        return n_layer * 2 * 4 * d_model + 2 * 2 * d_model
    biases = 3 * (d_attn or d_model) + d_model + d_ff + d_model
    return n_layer * (biases + 2 * 2 * d_model) + 2 * d_model


def embeddings(*, d_model, n_vocab, n_ctx, tied=True, architecture="transformer", **_):
    """Token embedding, output head unless it shares the token embedding's weights, positions if there are."""
    positions = 0 if architecture == "lstm" else n_ctx
    return ((1 if tied else 2) * n_vocab + positions) * d_model


def trainable(**run):
    """Every trainable parameter of the network, as torch counts them."""
    return non_embedding(**run) + biases_and_norms(**run) + embeddings(**run)


def flops_per_token(
    *, n_layer, d_model, d_ff, n_vocab, n_ctx, d_attn=None, reuse=1, architecture="transformer", **_
):
    """Training FLOPs per token (forward and backward, a multiply-add counted as two), by convention.

    ``6N`` is the paper's C = 6 N B S (section 2.1), each reuse of a recurrent Transformer's weights counted;
    ``head`` adds the output head, 6 · d_model · n_vocab (Porian et al. 2024, Pearce & Song 2024);
    ``attention`` adds to that the scores and weighted sums over the context,
    3 · 2 · 2 · n_layer · reuse · n_ctx · d_attn with the whole context counted, and nothing for an LSTM. The
    paper's own forward figure, 2N + 2 · n_layer · n_ctx · d_attn, counts a causal half of it.
    """
    shape = {"n_layer": n_layer, "d_model": d_model, "d_ff": d_ff, "d_attn": d_attn}
    body = 6 * reuse * non_embedding(**shape, architecture=architecture)
    head = body + 6 * d_model * n_vocab
    attention = 0 if architecture == "lstm" else 12 * n_layer * reuse * n_ctx * (d_attn or d_model)
    return {"6N": body, "head": head, "attention": head + attention}
