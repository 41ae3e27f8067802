"""Pages as single files that open from disk and ask the network for nothing."""

import re
from pathlib import Path

import jinja2
import vl_convert
import yaml
from markupsafe import Markup, escape

from scaling import provenance
from scaling.charts import drawing, theme, wording
from scaling.pages import packing

JSON = {"separators": (",", ":"), "ensure_ascii": False, "allow_nan": False}
SCHEMES = {"light": theme.CONFIG, "dark": theme.DARK}
"""The configs of all charts of a page, by the colour scheme of its reader."""
TEMPLATES = Path(__file__).parent / "templates"
SYMBOL = re.compile(r"\b([A-Za-zα-ω])_([A-Za-z0-9]+\b|∞)")
CODE = re.compile("`([^`]+)`")
POWER = re.compile(r"\^(?:(−?\d+(?:\.\d+)?|\w+)|\(((?:[^()]|\([^()]*\))+)\))")
RAISED = re.compile("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")


def write_figure(title, drawn, html, svg, png):
    """Write a :class:`scaling.charts.drawing.Drawing` as a page, as SVG and as PNG."""
    spec = drawing.specification(drawn)
    picture = drawing.svg(spec)
    with provenance.whole(svg) as scratch:
        scratch.write_text(picture, encoding="utf-8")
    with provenance.whole(png) as scratch:
        scratch.write_bytes(drawing.png(picture))
    figure = {"name": Path(html).stem, "title": title, **packing.shown(drawn)}
    write_page(html, "figure.html", library(Path(html).parent), figure=figure)


def write_page(path, template, script, **content):
    """Write ``template`` filled with ``content``; ``script`` is the text of :func:`library`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = JSON
    environment.globals |= {"wording": wording, "store": packing.Store(), "schemes": SCHEMES}
    environment.filters |= {"symbols": symbols, "yaml": as_yaml}
    text = environment.get_template(template).render(library=Markup(script), **content)
    with provenance.whole(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def library(folder):
    """Vega, Vega-Lite and Vega-Embed as one script, safe inside a script element.

    Bundling takes a second, so the result is kept in ``folder`` for the next page, under a name with the
    version.
    """
    path = Path(folder) / f".vega-{vl_convert.__version__}.js"
    if not path.is_file() or provenance.fault(path):
        script = vl_convert.javascript_bundle().replace("</script", r"<\/script").replace("<!--", r"<\!--")
        with provenance.whole(path) as scratch:
            scratch.write_text(script, encoding="utf-8")
    return path.read_text(encoding="utf-8")


def symbols(text):
    """Text as HTML with the symbols of the field set as such: subscripts, powers, `names`."""
    html = CODE.sub(r"<code>\1</code>", str(escape(text)))
    html = POWER.sub(lambda match: f"<sup>{match[1] or match[2]}</sup>", html)
    html = RAISED.sub(lambda match: f"<sup>{wording.lowered(match[0])}</sup>", html)
    return Markup(SYMBOL.sub(r"<var>\1</var><sub>\2</sub>", html))


def as_yaml(value):
    """A config as the YAML it was written in."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
