"""Take a tokenizer that was made elsewhere: a file, or that of a repository of the hub."""

import argparse
import tempfile
from pathlib import Path

from scaling import provenance, tokens


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--given", required=True, help="path of a tokenizer.json, or a repository of the hub")
    parser.add_argument("--revision", help="of the repository, if it is one")
    parser.add_argument("--n-vocab", type=int, required=True, help="entries that it has to have")
    parser.add_argument("--end", required=True, help="entry that ends a document")
    parser.add_argument("--out", type=Path, required=True, help="tokenizer.json to write")
    parser.add_argument("--out-end", type=Path, required=True, help="end.txt to write, beside it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fetched = args.revision and tokens.fetch_tokenizer(args.given, args.revision, folder)
        text = tokens.take_tokenizer(fetched or Path(args.given), args.n_vocab, args.end)
    for path, content in ((args.out, text), (args.out_end, args.end)):
        with provenance.whole(path) as scratch:
            scratch.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    provenance.run(main)
