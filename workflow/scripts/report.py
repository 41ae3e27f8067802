"""Every figure of the paper on one page, and the findings of its summary as a table in Markdown."""

import argparse
from pathlib import Path

from scaling import provenance
from scaling.pages import inputs, render, report


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    inputs.add(parser)
    parser.add_argument("--findings", required=True, type=Path, help="the table of findings to write")
    args = parser.parse_args()
    shown = report.page(*inputs.read(args))
    render.write_page(args.out, "report.html", render.library(args.out.parent / "figures"), **shown)
    with provenance.whole(args.findings) as scratch:
        scratch.write_text(report.markdown(shown["summary"]), encoding="utf-8")


if __name__ == "__main__":
    provenance.run(main)
