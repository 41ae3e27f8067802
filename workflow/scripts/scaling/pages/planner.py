"""What the planner says: the section of the page that JavaScript fills, and the same answer in a terminal."""

import json
import math
from dataclasses import replace
from pathlib import Path

from scaling.accelerators import PEAKS, USUAL, UTILISATION, budget, peak
from scaling.charts import wording
from scaling.grid import BY
from scaling.planner import Question, answer
from scaling.provenance import UserError
from scaling.units import pf_days

VERY = 100
"""Times what any run reached beyond which an answer says that nothing vouches for it."""
OFTEN = 1000
"""Times what the largest run reached within which a page does not write a power of ten."""


def section(known):
    """What the planner's section shows, a dict; {"missing": reasons} of a study without a law to plan by.

    It begins with ten times the compute, or the size, of the largest run.
    """
    if not known["roads"]:
        return {"missing": [f"{law}: {reason}" for law, reason in known["missing"].items()]}
    return {
        "known": known,
        "roads": known["roads"],
        "trust": {road["name"]: trust(road) for road in known["roads"]},
        "rate": rate(known["learning_rate"]),
        "accelerators": {name: _typed(flops, 4) for name, flops in PEAKS.items()},
        "usual": USUAL,
        "utilisation": UTILISATION,
        "budget": _typed(10 * max(filter(None, known["reached"]["C"].values()))),
        "size": _typed(10 * known["reached"]["N"]),
        "interval": wording.percent(known["interval"]),
    }


def _typed(value, digits=1):
    """A number as one types it: 1e14, 9.89e14."""
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def trust(road):
    """How far a road can be trusted, in words: its certificate, its forecast, its data."""
    passed = wording.certified(road)
    return {
        "certificate": "certified" if passed else f"not certified: {wording.reasons(road)}",
        "forecast": wording.forecast(road),
        "data": f"{wording.counted(road['points'], 'point')} of {wording.counted(road['runs'], 'run')}",
    }


def rate(rule):
    """Which learning rate plans have, in words."""
    if rule is None:
        return "the paper's, 0.003239 − 0.0001395 ln N (Kaplan et al. 2020, equation D.1)"
    if not isinstance(rule, dict):
        return f"that of the study's runs, {rule:g}"
    if rule.get("ln_N") is not None:
        sign = "−" if rule["ln_N"] < 0 else "+"
        return f"by the rule of the study's runs, {rule['value']:g} {sign} {abs(rule['ln_N']):g} ln N"
    powers = [
        f"({name} / {rule[name]['at']:,})^{rule[name]['exponent']:g}".replace("-", "−")
        for name in BY
        if rule.get(name)
    ]
    most = f", at most {rule['most']:g}" if rule.get("most") else ""
    product = " · ".join([f"{rule['value']:g}", *powers])
    return f"by the rule of the study's runs, {product}{most}"


# --- in a terminal --------------------------------------------------------------------------------------


def add(parser):
    """Add the options of a question to an argparse ``parser``."""
    parser.add_argument("--planner", type=Path, default=Path("results/planner.json"), help="of the study")
    asked = parser.add_argument_group("what is asked: one of")
    asked.add_argument("--budget", help="FLOPs, or '12 PF-days'")
    asked.add_argument("--hours", type=float, help="of --devices")
    asked.add_argument("--loss", type=float, help="nats per token to reach")
    asked.add_argument("--size", type=float, help="N to train, with or without a budget")
    parser.add_argument("--law", help="the road, such as L_NS; by default the most trustworthy")
    parser.add_argument("--counting", help="6N, head or attention: what counts as FLOPs (the last)")
    parser.add_argument("--batch", type=float, default=1.0, help="as a multiple of the critical one (1)")
    parser.add_argument("--served", type=float, default=0.0, help="tokens of inference to pay for too (0)")
    parser.add_argument("--devices", type=float, default=1.0, help="how many accelerators (1)")
    parser.add_argument("--accelerator", default=USUAL, help=f"its name or its peak FLOP/s ({USUAL})")
    parser.add_argument("--utilisation", type=float, default=UTILISATION, help=f"of that ({UTILISATION})")
    parser.add_argument("--price", type=float, help="of an hour of one device, in any currency")
    parser.add_argument("--json", action="store_true", help="print all numbers as JSON")


def question(args, known):
    """The :class:`Question` of parsed options; raises UserError where they ask none, or several."""
    for name in ("hours", "loss", "size", "batch", "devices", "utilisation", "price"):
        value = getattr(args, name)
        if value is not None and not 0 < value < math.inf:
            raise UserError(f"{name}: found {value:g}, expected a number above 0")
    if not 0 <= args.served < math.inf:
        raise UserError(f"served: found {args.served:g}, expected a number of tokens")
    if args.utilisation > 1:
        raise UserError(f"utilisation: found {args.utilisation:g}, expected a share of the peak, at most 1")
    flops = peak(args.accelerator) * args.utilisation
    if args.budget is not None and args.hours is not None:
        raise UserError("found --budget and --hours, expected one of them")
    spend = None if args.budget is None else budget(args.budget)
    if args.hours is not None:
        spend = args.devices * args.hours * 3600 * flops
    if args.loss is not None and (spend or args.size):
        raise UserError("found --loss beside a budget or a size, expected it alone: it asks what they cost")
    if not (spend or args.loss or args.size):
        raise UserError("found no question, expected --budget, --hours, --loss or --size")
    return Question(
        road=args.law or known["chosen"],
        counting=args.counting or [*known["countings"]][-1],
        **{"budget": spend, "loss": args.loss, "N": args.size, "times": args.batch, "served": args.served},
        **{"devices": args.devices, "flops": flops, "price": args.price},
    )


def text(known, asked, found, as_json=False):
    """The answer as lines of text, or as JSON with the question."""
    if as_json:
        return json.dumps({"question": vars(asked), "answer": found}, indent=2)
    road = next(road for road in known["roads"] if road["name"] == asked.road)
    lines = [f"{_asked(asked)}, by {road['formula']}", *_trust_lines(known, road, found, asked), ""]
    if found["reason"]:
        return "\n".join([*lines, f"There is no such plan: {found['reason']}."])
    lines += _table(["", "", f"{wording.percent(known['interval'])} interval"], _best(asked, found))
    if others := [_other(known, asked, other) for other in known["roads"] if other is not road]:
        lines += ["", "By the other laws:", *_table(["law", "N", "tokens", "loss", "the fit"], others)]
    if asked.served:
        line = f"Serving {_count(asked.served)} tokens costs a third of training's FLOPs each."
        lines += ["", line]
    heads = ["size", "N", "tokens", "loss", "worse by", "compute to the same loss"]
    lines += ["", "Another size, at the same compute:", *_table(heads, map(_size, found["sizes"]))]
    if found["batches"]:
        heads = ["batch / B_crit", "B", "steps", "steps ×", "compute ×"]
        lines += ["", "Another batch, to the same loss:", *_table(heads, map(_batch, found["batches"]))]
        lines += [f"  {measured(road, found)}"]
    if found["shapes"]:
        heads = ["n_layer", "d_model", "n_head", "N", "tokens", "loss"]
        lines += ["", "Shapes, at the same compute:", *_table(heads, map(_shape, found["shapes"]))]
    return "\n".join(lines)


def measured(road, found):
    """Between which losses the critical batch was measured, and where the plan is."""
    low, high = (wording.significant(loss) for loss in road["critical_losses"])
    loss = wording.significant(found["best"]["loss"]["value"])
    return f"B_crit was measured at losses of {low} to {high}; this plan's is {loss}."


def _asked(asked):
    spend = f"{wording.scientific(asked.budget, 3)} FLOPs" if asked.budget else ""
    if asked.N:
        return f"A model of {_count(asked.N)} parameters" + (f" and {spend}" if spend else "")
    if asked.loss:
        return f"A loss of {asked.loss:g} nats per token"
    return f"{spend} ({wording.readable(pf_days(asked.budget))} PF-days)"


def _trust_lines(known, road, found, asked):
    told = trust(road)
    yield f"  counted:   {known['countings'][asked.counting]}; {road['counted']} in the law"
    yield f"  the fit:   {told['certificate']}; {told['data']}"
    yield f"  forecast:  of the largest tenth of compute {told['forecast']}"
    if not found["reason"]:
        yield f"  distance:  {distance(found['beyond'])}"


def distance(beyond):
    """How far from the study's runs an answer is, in words."""
    words = {"C": "most compute", "N": "largest size", "D": "most tokens"}
    told = [f"{_times(beyond[name])} the {what}" for name, what in words.items() if beyond[name]]
    place = "beyond" if any((beyond[name] or 0) > 1 for name in words) else "within"
    very = any((beyond[name] or 0) > VERY for name in words)
    doubt = "; nothing that was measured tells whether the law holds so far out" if very else ""
    return f"{place} the study's runs: {', '.join(told)} of any run{doubt}"


def _times(ratio):
    if 1 / OFTEN < ratio < OFTEN:
        return f"{wording.significant(ratio)} times"
    return f"{wording.scientific(ratio, 2)} times"


def _best(asked, found):
    best, planned, money = (found[name] for name in ("best", "planned", "money"))
    of_best, free = planned.get("is_best", {}), asked.N is None and asked.loss is None
    rows = [
        ("N, parameters", best["N"], _count),
        ("D, tokens", best["D"], _count),
        ("B, tokens per step", best.get("B"), _count),
        ("S, steps", best.get("S"), _count),
        ("learning rate", best.get("learning_rate"), wording.readable),
        ("loss, nats per token", planned["loss"], wording.significant),
        ("loss of each draw's own best plan", best["loss"] if free else None, wording.significant),
        ("loss of this size without end", planned["converged"], wording.significant),
        ("training, FLOPs", best["C"], wording.readable),
        ("serving, FLOPs", best["served"] if asked.served else None, wording.readable),
        ("wall time of training", money.get("seconds"), _duration),
        ("device-hours of training", money.get("device_hours"), _count),
        ("price of training", money.get("price"), _count),
        ("price of serving", money.get("serving") if asked.served else None, _count),
        ("the size is best for a training of, FLOPs", of_best.get("C"), wording.readable),
        ("and then its loss is", of_best.get("loss"), wording.significant),
    ]
    return [[name, *_number(number, write)] for name, number, write in rows if number is not None]


def _number(number, write):
    """A number and its interval; in brackets where its fit is not certified."""
    if number is None:
        return "none", ""
    ends = [write(number[end]) if number[end] is not None else None for end in ("low", "high")]
    interval = " to ".join([ends[0] or "no lower bound", ends[1] or "no upper bound"])
    if ends[0] == ends[1] == write(number["value"]):
        interval = ""  # it is given
    texts = (write(number["value"]), interval)
    return texts if number["certified"] else tuple(f"({text})" if text else "" for text in texts)


def _size(row):
    tokens = _count(row["D"]) if row["D"] else "none left"
    worse = _both(row["worse"], lambda value: wording.signed(value, 3))
    others = [_both(row[name], wording.significant) for name in ("loss", "compute")]
    return [f"× {row['times']:g}", _count(row["N"]), tokens, others[0], worse, others[1]]


def _batch(row):
    ratios = [wording.significant(row[name]["value"]) for name in ("steps", "compute")]
    return [f"{row['times']:g}", *(_both(row[name], _count) for name in ("B", "S")), *ratios]


def _shape(row):
    tokens = _count(row["D"]) if row["D"] else "none left"
    sizes = [f"{row[name]:,}" for name in ("n_layer", "d_model", "n_head")]
    return [*sizes, _count(row["N"]), tokens, _both(row["loss"], wording.significant)]


def _both(number, write):
    """A number and its interval as one text."""
    value, interval = _number(number, write)
    return f"{value}, {interval}" if interval else value


def _other(known, asked, road):
    """The same question to another law, at its own batch where it knows no other."""
    times = asked.times if road["x"] == "S_min" else 1.0
    found = answer(known, replace(asked, road=road["name"], times=times))
    name = f"{road['formula']}{', embeddings counted in N' if road['total'] else ''}"
    fit = "certified" if wording.certified(road) else "not certified"
    if found["reason"]:
        return [name, "none", "none", "none", fit]
    numbers = (
        (found["best"]["N"], _count),
        (found["best"]["D"], _count),
        (found["planned"]["loss"], wording.significant),
    )
    return [name, *(_both(*number) for number in numbers), fit]


def _count(value):
    if value == int(value) and 1e3 <= value < 1e5:
        return f"{value:,.0f}"
    return wording.words(value) if 1e3 <= value < 1e15 else wording.readable(value)


def _duration(seconds):
    for unit, length in (("years", 365.25 * 86400), ("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{_count(seconds / length)} {unit}"
    return f"{wording.significant(seconds)} seconds"


def _table(heads, rows):
    """Lines of a table in columns, the first to the left and the others to the right."""
    rows = [heads, *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    return [
        "  " + "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]  # fmt: skip
