"""One figure of a study: a page that opens offline, a picture in svg and png, and its data as csv."""

import argparse

from scaling import provenance
from scaling.charts import catalog, drawing
from scaling.pages import render


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, choices=catalog.FIGURES)
    for option in ("--study", "--tables", "--fits", "--html", "--svg", "--png", "--csv"):
        parser.add_argument(option, required=True)
    args = parser.parse_args()
    figure = catalog.FIGURES[args.name]
    tables = drawing.read_tables(args.tables, figure.tables)
    fits = drawing.read_fits(args.fits, (*figure.fits, *figure.either))
    offered = provenance.read_json(args.study)["offered"]
    try:
        drawn = drawing.draw(args.name, tables, fits, offered)
    except provenance.UserError as error:
        # a study too small for one chart still has the others, so the file says what is missing
        print(error)
        drawn = drawing.said(str(error))
    render.write_figure(figure.title, drawn, html=args.html, svg=args.svg, png=args.png)
    drawing.write_csv(args.csv, drawn)


if __name__ == "__main__":
    provenance.run(main)
