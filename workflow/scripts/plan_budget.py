"""Plan a model as the page of a study does: size, tokens, batch, steps, loss, time and price, with intervals.

python workflow/scripts/plan_budget.py --budget 1e21
python workflow/scripts/plan_budget.py --devices 8 --hours 72 --accelerator A100 --price 1.8
python workflow/scripts/plan_budget.py --loss 2.5
python workflow/scripts/plan_budget.py --size 1e9 --budget '12 PF-days'
"""

import argparse

from scaling import planner, provenance
from scaling.pages import planner as words


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add(parser)
    args = parser.parse_args()
    known = provenance.read_json(args.planner)
    question = words.question(args, known)
    print(words.text(known, question, planner.answer(known, question), as_json=args.json))


if __name__ == "__main__":
    provenance.run(main)
