"""The rules that make text into tokens, and how long their jobs take, at stated rates (no torch)."""

SECONDS = {
    **{"wheel": 1, "sources": 60, "prose": 3, "shard": 3, "held_out": 2, "duplicates": 2, "transfer": 1},
    **{"transfer_text": 3, "take_tokenizer": 2, "tokenizer": 2, "tokens": 2, "tokens_of_shard": 2},
    **{"train_tokens": 1, "leaks": 3, "manifest": 1},
}
"""Seconds of the slowest job of each rule, as the default study took them on one or two cores, or a small
corpus of other sources; looking up files of the hub is a guess."""
RATES = {"shard": 8e6, "leaks": 1e7, "tokens_of_shard": 2.5e6}
"""Bytes of text a second that a job of a shard goes through on a core; reading the hub may be slower."""
JOBS = (
    *("prose", "shard", "held_out", "duplicates", "transfer", "transfer_text", "tokenizer", "tokens"),
    *("tokens_of_shard", "leaks"),
)
"""Rules whose jobs are Slurm's, one each."""
KEPT = ("wheel", "sources", *JOBS, "take_tokenizer", "train_tokens")
"""Rules whose files are the corpus and its tokens."""
USED_BY = {
    "wheel": ("prose", "transfer", "manifest"),
    "sources": ("shard", "manifest"),
    "shard": ("held_out", "duplicates", "tokenizer", "tokens_of_shard", "leaks", "manifest"),
    "held_out": ("duplicates", "tokens", "leaks", "manifest"),
    "duplicates": ("tokens_of_shard", "leaks", "manifest"),
    "prose": ("tokenizer", "tokens", "leaks", "manifest"),
    "transfer": ("tokens", "leaks", "manifest"),
    "transfer_text": ("tokens", "leaks", "manifest"),
    "take_tokenizer": ("tokens", "tokens_of_shard"),
    "tokenizer": ("tokens", "tokens_of_shard"),
    "tokens": ("train", "evaluate"),
    "tokens_of_shard": ("train_tokens",),
    "train_tokens": ("train",),
    "leaks": ("manifest",),
    "manifest": ("page", "report"),
    "finished_file": ("finished",),
}
"""Files that no rule to come needs are not made again where they are gone. In the order of the rules."""
CHAIN = (
    *(
        "wheel",
        "sources",
        "prose",
        "shard",
        "held_out",
        "duplicates",
        "take_tokenizer",
        "tokenizer",
        "tokens",
    ),
    *("tokens_of_shard", "train_tokens"),
)
"""What lies between the text and the first run, in order."""


def seconds(corpus):
    """Seconds of a job of each rule, by that part of the config: those of shards go by their bytes.

    Where ``train_bytes`` does not bound the text, they are those of a small one.
    """
    if not (corpus["sources"] and corpus["train_bytes"]):
        return SECONDS
    each = corpus["train_bytes"] / corpus["shards"]
    return SECONDS | {rule: SECONDS[rule] + each / rate for rule, rate in RATES.items()}
