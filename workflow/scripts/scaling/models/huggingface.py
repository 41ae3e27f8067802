"""A trained Transformer as a folder that the transformers library loads: a GPT-2 with its tokenizer."""

import torch

from scaling import models, parquet, provenance, tables, tokens
from scaling.models import snapshots
from scaling.provenance import UserError

NORMS = {"attention_norm": "ln_1", "feed_norm": "ln_2"}
LAYERS = {"qkv": "attn.c_attn", "project": "attn.c_proj", "expand": "mlp.c_fc", "contract": "mlp.c_proj"}


def export(folder, out, *, tokenizer, manifest):
    """Write the network of the run in ``folder`` to the folder ``out``, whole or not at all.

    ``tokenizer``: the tokenizer.json that its tokens were made with; ``manifest``: that of their corpus. The
    weights are the best ones where patience has kept them, else the last. Raises UserError where GPT-2
    cannot express the network, the tokenizer is not its own, a file is damaged or no snapshot was kept.
    """
    run = provenance.read_json(folder / "run.json")
    refuse_foreign(run)
    entries, end = tokens.load_tokenizer(tokenizer), tokens.end_of_document(tokenizer)
    n_vocab = tokens.vocabulary(entries)
    if n_vocab != run["n_vocab"]:
        raise UserError(
            f"{tokenizer} has {n_vocab} entries, {run['run']} a vocabulary of {run['n_vocab']}; "
            "give the tokenizer that its tokens were made with"
        )
    step = choose(run, tables.snapshot_steps(folder / "snapshots"))
    model = models.build(run)
    snapshots.load(model, tables.snapshot_path(folder / "snapshots", step))
    rows = parquet.read(folder / "evaluation.parquet").to_pylist()
    losses = [row for row in rows if row["step"] == step]
    described = card(run, step, losses, provenance.read_json(manifest), end)
    with provenance.whole(out) as scratch:
        scratch.mkdir()
        snapshots.save(weights(model), scratch / "model.safetensors")
        provenance.write_json(scratch / "config.json", config(run, entries.token_to_id(end)))
        texts = {"tokenizer.json": tokenizer.read_text(encoding="utf-8"), "README.md": described}
        for name, text in texts.items():
            with provenance.whole(scratch / name) as file:
                file.write_text(text, encoding="utf-8")
        provenance.write_json(scratch / "tokenizer_config.json", tokenizer_config(run, end))


def refuse_foreign(run):
    """Raise UserError for a run whose network is no GPT-2."""
    if run["architecture"] not in ("transformer", "recurrent"):
        raise UserError(
            f"{run['run']}: found architecture {run['architecture']}, which is no GPT-2; "
            "export a transformer or a recurrent one"
        )
    if run["d_attn"] != run["d_model"]:
        raise UserError(
            f"{run['run']}: found d_attn {run['d_attn']} beside d_model {run['d_model']}, which GPT-2 cannot "
            "express; export a run where they are equal"
        )


def choose(run, steps):
    """The step, of those with a snapshot, whose weights to export."""
    if not steps:
        raise UserError(f"{run['run']}: found no snapshot, the run {run['status']}; export another run")
    return run["best_step"] if run["patience"] and run["best_step"] in steps else steps[-1]


def weights(model):
    """Weights of a Transformer by GPT-2's names, each block as often as it is run through.

    GPT-2's layers hold their matrices transposed, (in, out). A head that shares the token embedding is left
    out, as transformers expects.
    """
    found = {
        "transformer.wte.weight": model.token_embedding.weight,
        "transformer.wpe.weight": model.position_embedding,
        "transformer.ln_f.weight": model.final_norm.weight,
        "transformer.ln_f.bias": model.final_norm.bias,
    }
    if model.output is not None:
        found["lm_head.weight"] = model.output
    for i, block in enumerate([*model.blocks] * model.reuse):
        for mine, theirs in (NORMS | LAYERS).items():
            part = getattr(block, mine)
            found[f"transformer.h.{i}.{theirs}.weight"] = part.weight.t() if mine in LAYERS else part.weight
            found[f"transformer.h.{i}.{theirs}.bias"] = part.bias
    # copies: safetensors refuses tensors that share memory, as the repeated blocks do
    return {name: w.detach().clone(memory_format=torch.contiguous_format) for name, w in found.items()}


def config(run, end_of_document):
    """What config.json says of a run's network; ``end_of_document``: the id of that token."""
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": run["n_vocab"],
        "n_positions": run["n_ctx"],
        "n_embd": run["d_model"],
        "n_layer": run["n_layer"] * run["reuse"],
        "n_head": run["n_head"],
        "n_inner": run["d_ff"],
        "activation_function": "gelu",
        "layer_norm_epsilon": 1e-5,
        **dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), run["dropout"]),
        "tie_word_embeddings": run["tied"],
        "bos_token_id": end_of_document,
        "eos_token_id": end_of_document,
    }


def tokenizer_config(run, end):
    """What tokenizer_config.json says beside tokenizer.json."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": end,
        "eos_token": end,
        "model_max_length": run["n_ctx"],
        "clean_up_tokenization_spaces": False,
    }


def card(run, step, losses, manifest, end):
    """The model card as Markdown; ``losses``: rows of evaluation.parquet for these weights."""
    kept = "the best by test loss" if step == run["best_step"] else "the last kept"
    network = ", ".join(f"{name} {run[name]}" for name in ("n_layer", "d_model", "d_ff", "n_head"))
    if run["reuse"] > 1:
        network += f", run through {run['reuse']} times with the same weights, here repeated"
    sources = manifest["sets"]["train"]["source_shares"]
    texts = [
        f"{origin['source']} {origin['version']} ({origin['licence']})"
        for origin in (*manifest["wheels"], *manifest["sources"])
        if origin["source"] in sources
    ]
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "---",
        f"# {run['run']}",
        "",
        "A network of a scaling study after [Kaplan et al. 2020](https://arxiv.org/abs/2001.08361), in the",
        'form of a GPT-2: `AutoModelForCausalLM.from_pretrained("…")` loads it, its tokenizer',
        f'`AutoTokenizer.from_pretrained("…")`. Documents end with the token `{end}`.',
        "",
        f"- Network: {network}; contexts of {run['n_ctx']} tokens from a vocabulary of {run['n_vocab']:,}",
        f"- N, weights outside embeddings, biases and norms: {run['N']:,}",
        f"- D, tokens of training text: {run['D']:,}",
        f"- Weights: those after step {step:,} of {run['S']:,} planned, {kept}; the run {run['status']}",
        f"- Tokens seen by then, at B = {run['B']:,} a step: {step * run['B']:,}",
        f"- Training text: {', '.join(texts)}",
        "",
        "| Set | Loss (nats per token) | Bits per byte |",
        "|---|---|---|",
        *(
            f"| {row['set']} | {row['loss']:.4f} ± {row['loss_se']:.4f} | {row['bits_per_byte']:.4f} |"
            for row in losses
        ),
    ]
    return "\n".join(lines) + "\n"
