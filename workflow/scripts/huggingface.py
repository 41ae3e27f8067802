"""Write the network of one run as a folder that the transformers library loads."""

import argparse
from pathlib import Path

from scaling import provenance
from scaling.models import huggingface


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json of its tokens")
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.json of its corpus")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    args = parser.parse_args()
    huggingface.export(args.run, args.out, tokenizer=args.tokenizer, manifest=args.manifest)


if __name__ == "__main__":
    provenance.run(main)
