"""The exported folder against the transformers library: the same logits, the same tokens, nothing missing."""

import re
import subprocess
import sys
from pathlib import Path

import jobs
import pyarrow as pa
import pytest
import torch
import transformers
from scaling import models, parquet, provenance, tables, tokens
from scaling.models import huggingface, snapshots
from scaling.provenance import UserError

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
TEXTS = [
    "The loss falls as a power of the model size, and the power does not depend on the shape.",
    " naïve café — 漢字 🙂\ttabs and\r\nline ends,   runs of spaces , isn't it ?  ",
    "a NUL \x00 and half a mark <|endof",
    "",
]
RUN = {
    "run": "tiny", "architecture": "transformer", "n_layer": 2, "d_model": 24, "d_ff": 80, "n_head": 4,
    "d_attn": 24, "reuse": 1, "n_ctx": 16, "n_vocab": 280, "dropout": 0.1, "tied": True, "precision": "fp32",
    "N": 12288, "D": 4000, "B": 128, "S": 60, "patience": 0, "status": "finished", "best_step": 20,
}  # fmt: skip
MANIFEST = {
    "wheels": [
        {"source": "pandas", "version": "3.0.0", "licence": "BSD-3-Clause"},
        {"source": "botocore", "version": "1.0.0", "licence": "Apache-2.0"},
    ],
    "sources": [{"source": "owner/web", "version": "abc", "licence": "odc-by"}],
    "sets": {"train": {"source_shares": {"pandas": 0.6, "owner/web": 0.4}}},
}
IDS = torch.randint(280, (3, 16), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokens") / "tokenizer.json"
    tokens.train_tokenizer([TEXTS], 280).save(str(path))
    return path


def scrambled(run, seed):
    """A network none of whose parameters is zero or one, as biases and norms are at the start."""
    torch.manual_seed(seed)
    model = models.build(run).eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, mean=0.5 if p.ndim == 1 else 0.0, std=0.2)
    return model


@pytest.fixture
def export(tmp_path, tokenizer):
    """A function that exports a run that was never trained: its snapshots, of two steps, are scrambled."""

    def run_and_export(steps=(20, 60), **changes):
        run = RUN | changes
        folder, manifest = tmp_path / "run", tmp_path / "manifest.json"
        provenance.write_json(folder / "run.json", run)
        provenance.write_json(manifest, MANIFEST)
        (folder / "snapshots").mkdir()
        for step in steps:
            weights = scrambled(run, step).state_dict()
            snapshots.save(weights, tables.snapshot_path(folder / "snapshots", step))
        rows = [
            {"step": step, "set": name, "loss": 4 + step / 1000, "loss_se": 0.01, "bits_per_byte": 2.5}
            for step in steps
            for name in ("test", "code")
        ]
        table = pa.Table.from_pylist(rows, tables.EVALUATION)
        parquet.write(folder / "evaluation.parquet", table)
        out = folder / "huggingface"
        huggingface.export(folder, tokenizer=tokenizer, manifest=manifest, out=out)
        return out

    return run_and_export


def load(folder):
    """The network of ``folder`` as transformers loads it; whatever it misses or cannot use is a failure."""
    model, report = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values()), report
    return model


# --- network --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tied": False},
        {"n_head": 1, "d_ff": 24},
        {"architecture": "recurrent", "reuse": 3},
        {"precision": "bf16"},
    ],
    ids=["tied", "untied", "one-head", "recurrent", "bf16"],
)
def test_transformers_computes_the_same_logits(export, changes):
    loaded = load(export(**changes))
    assert type(loaded).__name__ == "GPT2LMHeadModel"
    assert loaded.dtype == torch.float32
    tied = loaded.lm_head.weight is loaded.transformer.wte.weight
    assert tied == loaded.config.tie_word_embeddings == (RUN | changes)["tied"]
    expected = scrambled(RUN | changes | {"precision": "fp32"}, 60).logits(IDS)
    assert expected.std() > 0.5, "logits that differ from token to token"
    torch.testing.assert_close(loaded(IDS).logits, expected, rtol=1e-4, atol=1e-5)


def test_a_recurrent_network_has_a_layer_for_each_use_of_a_block(export):
    loaded = load(export(architecture="recurrent", reuse=3))
    assert loaded.config.n_layer == len(loaded.transformer.h) == 6


def test_the_network_trains_on_as_it_did(export):
    """Dropout and context are the run's own, and a text ends with the mark that documents end with."""
    config = load(export()).config
    assert (config.embd_pdrop, config.attn_pdrop, config.resid_pdrop) == (0.1, 0.1, 0.1)
    assert (config.n_positions, config.vocab_size) == (16, 280)


def test_a_text_goes_on_and_ends_with_the_mark(export):
    folder = export()
    model, tokenizer = load(folder), transformers.AutoTokenizer.from_pretrained(folder)
    found = model.generate(**tokenizer("The", return_tensors="pt"), max_new_tokens=5, do_sample=False)
    assert found.shape[1] > 1
    end = tokenizer.convert_tokens_to_ids(tokens.END_OF_DOCUMENT)
    assert model.generation_config.eos_token_id == model.config.bos_token_id == end == tokenizer.eos_token_id


# --- tokenizer ------------------------------------------------------------------------------------------


def test_transformers_makes_the_same_tokens_and_the_same_text_of_them(export, tokenizer):
    loaded, mine = transformers.AutoTokenizer.from_pretrained(export()), tokens.load_tokenizer(tokenizer)
    assert (len(loaded), loaded.model_max_length) == (280, 16)
    for text in TEXTS:
        ids = mine.encode(text).ids
        assert loaded(text)["input_ids"] == ids
        assert loaded.decode(ids) == mine.decode(ids) == text


def test_the_mark_between_documents_is_one_token_for_transformers(export):
    loaded = transformers.AutoTokenizer.from_pretrained(export())
    ids = loaded("a<|endoftext|>b")["input_ids"]
    assert ids[1:-1] == [loaded.eos_token_id]


# --- which weights, and what the card says --------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "step"),
    [({}, 60), ({"patience": 3}, 20), ({"patience": 3, "best_step": 40}, 60)],
    ids=["last", "best", "best-not-kept"],
)
def test_the_best_weights_are_exported_where_patience_kept_them(export, changes, step):
    folder = export(**changes)
    torch.testing.assert_close(
        load(folder).transformer.wte.weight, scrambled(RUN, step).token_embedding.weight
    )
    card = (folder / "README.md").read_text()
    assert f"after step {step} of 60 planned" in card
    assert set(re.findall(r"[\d.]+(?= ±)", card)) == {f"{4 + step / 1000:.4f}"}
    assert ("the best by test loss" in card) == (step == 20)


def test_the_card_names_size_data_and_sources(export):
    card = (export(architecture="recurrent", reuse=3) / "README.md").read_text()
    for part in ("# tiny", "12,288", "4,000", "pandas 3.0.0 (BSD-3-Clause)", "through 3 times", "| code |"):
        assert part in card
    assert "botocore" not in card, "a source of other sets than the training text"


def test_others_may_read_what_is_exported(export):
    assert (export() / "model.safetensors").stat().st_mode & 0o444 == 0o444


# --- refusals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"architecture": "lstm"}, "tiny: found architecture lstm, which is no GPT-2"),
        ({"d_attn": 12}, "tiny: found d_attn 12 beside d_model 24, which GPT-2 cannot express"),
        ({"n_vocab": 300}, r"tokenizer\.json has 280 entries, tiny a vocabulary of 300"),
        ({"steps": (), "status": "diverged"}, "tiny: found no snapshot, the run diverged"),
    ],
)
def test_what_cannot_be_exported_is_refused(export, tmp_path, changes, line):
    with pytest.raises(UserError, match=line):
        export(**changes)
    assert not (tmp_path / "run" / "huggingface").exists()


def test_the_script_needs_no_transformers_and_says_failures_in_one_line(export, tokenizer, tmp_path):
    folder = export().parent
    code = "import runpy, sys; sys.modules['transformers'] = None; "
    code += "runpy.run_path('huggingface.py', run_name='__main__')"
    command = [sys.executable, "-c", code, "--run", folder, "--tokenizer", tokenizer]
    command += ["--manifest", tmp_path / "manifest.json", "--out", tmp_path / "again"]
    subprocess.run(command, cwd=SCRIPTS, check=True)
    written = jobs.names(tmp_path / "again")
    assert written == [
        "README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"
    ]  # fmt: skip
    for name in written:
        assert (tmp_path / "again" / name).read_bytes() == (folder / "huggingface" / name).read_bytes()
    provenance.write_json(folder / "run.json", RUN | {"architecture": "lstm"})
    failed = subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: tiny: found architecture lstm")
    assert failed.stderr.count("\n") == 1
