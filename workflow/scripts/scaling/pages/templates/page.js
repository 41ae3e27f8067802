"use strict";
// The charts of a page: unpacked, drawn in the reader's colours, each with its picture and data as files.
// `page` is what other scripts use of it. Two events on document: "drawn" after a chart was drawn, with
// {figure, view, spec}, and "scheme" when charts turn light or dark.
const page = (() => {
  const stored = (id) => JSON.parse(document.getElementById(id).textContent);
  const [columns, schemes] = [stored("columns"), stored("schemes")];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let printing = false;
  const scheme = () => (dark.matches && !printing ? "dark" : "light");
  const config = (name = scheme()) => structuredClone(schemes[name]);

  // --- data, packed as packing.py says ---

  function column(index) {
    const cells = columns[index];
    if (Array.isArray(cells)) return cells;
    const values = columns[cells.of];
    return cells.at.map((code) => values[code]);
  }

  function rows(table) {
    const cells = table.columns.map(([name, index]) => [name, column(index)]);
    return Array.from({ length: table.rows }, (_, at) => {
      const row = {};
      for (const [name, values] of cells) if (values[at] !== undefined) row[name] = values[at];
      return row;
    });
  }

  // vega writes into the rows it is given, so that every drawing has its own
  function unpacked(packed) {
    return { ...packed.spec, datasets: Object.fromEntries(packed.datasets.map(([name, table]) => [name, rows(table)])) };
  }

  // --- drawing ---

  // what a chart cannot do by itself in a container of any width: set panels out in rows, wrap its legend
  function arrange(spec, width) {
    const made = { ...spec, config: config() };
    made.config.legend.columns = Math.max(3, Math.floor((width - 60) / 76));
    if (!spec.concat) return made;
    const columns = width < 480 ? 1 : Math.min(spec.columns, spec.concat.length);
    const panel = Math.floor(width / columns) - 67;
    return { ...made, columns, concat: spec.concat.map((part) => ({ ...part, width: panel })) };
  }

  // a chart of `figure` that can be shown again when its width or the scheme has changed
  function chart(figure, packed) {
    const place = figure.querySelector(".chart");
    let drawn = Promise.resolve();
    let state = "";
    const show = () => {
      const next = `${place.clientWidth} ${scheme()}`;
      if (!place.clientWidth || next === state) return drawn;
      state = next;
      drawn = drawn.then(async (before) => {
        try {
          before?.finalize();
          const spec = unpacked(packed);
          const made = arrange(spec, place.clientWidth);
          const result = await vegaEmbed(place, made, { renderer: packed.renderer, actions: false });
          document.dispatchEvent(new CustomEvent("drawn", { detail: { figure, view: result.view, spec } }));
          return result;
        } catch (error) {
          place.textContent = `This chart cannot be drawn: ${error.message}`;
          throw error;
        }
      });
      return drawn;
    };
    return { place, show };
  }

  const idle = () => new Promise((done) => (window.requestIdleCallback ?? setTimeout)(done, { timeout: 200 }));

  // what is in view first, the others in idle time, so that the page can be used soon and printed whole
  async function showAll(charts) {
    const waiting = [...charts];
    const seen = ({ place }) => {
      const { top, bottom } = place.getBoundingClientRect();
      return bottom > 0 && top < innerHeight;
    };
    while (waiting.length) {
      const [next] = waiting.splice(Math.max(0, waiting.findIndex(seen)), 1);
      await next.show().catch((error) => console.error(error));
      await idle();
    }
  }

  function watch(charts) {
    let waiting;
    const again = new ResizeObserver(() => {
      clearTimeout(waiting);
      waiting = setTimeout(() => charts.forEach((each) => each.show()), 150);
    });
    for (const { place } of charts) again.observe(place);
    const turn = (on) => {
      printing = on;
      document.dispatchEvent(new CustomEvent("scheme"));
      charts.forEach((each) => each.show());
    };
    dark.addEventListener("change", () => turn(printing));
    addEventListener("beforeprint", () => turn(true));
    addEventListener("afterprint", () => turn(false));
  }

  // --- files ---

  function save(name, blob) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // pictures are light and as wide as those of the pipeline, whatever the screen; `read` is given the view
  async function pictured(spec, read) {
    const light = { ...spec, config: config("light") };
    if (light.width === "container") Object.assign(light, { width: light.config.view.continuousWidth, autosize: "pad" });
    const result = await vegaEmbed(document.createElement("div"), light, { renderer: "none", actions: false });
    try {
      return await read(result.view);
    } finally {
      result.finalize();
    }
  }

  async function svg(spec) {
    const text = await pictured(spec, (view) => view.toSVG());
    const made = new DOMParser().parseFromString(text, "image/svg+xml");
    made.documentElement.setAttribute("role", "img");
    made.documentElement.setAttribute("aria-label", spec.description);
    return new Blob([new XMLSerializer().serializeToString(made)], { type: "image/svg+xml" });
  }

  async function png(spec) {
    const canvas = await pictured(spec, (view) => view.toCanvas(2));
    return new Promise((done) => canvas.toBlob(done, "image/png"));
  }

  // a text that a spreadsheet would take for a formula begins with an apostrophe (drawing.write_csv does the same)
  function cell(value) {
    if (value === undefined || value === null) return "";
    if (typeof value === "boolean") return value ? "True" : "False";
    if (typeof value === "number") return String(value);
    const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  // `series`: pairs of a name and a table
  function csv(series) {
    const every = series.flatMap(([, table]) => table.columns.map(([name]) => name));
    const names = [...new Set(every)].filter((name) => name !== "series");
    const lines = [["series", ...names]];
    for (const [name, table] of series) {
      const held = new Map(table.columns.map(([key, index]) => [key, column(index)]));
      for (let at = 0; at < table.rows; at += 1) {
        // a row may be of a series of its own
        lines.push([held.get("series")?.[at] ?? name, ...names.map((key) => held.get(key)?.[at])]);
      }
    }
    return lines.map((line) => `${line.map(cell).join(",")}\n`).join("");
  }

  // three buttons at the end of `figure`; `sources` makes what they save, {svg, png, csv}, each of a Blob or a text
  function offer(figure, sources) {
    const title = figure.querySelector("h1, h2, h3, h4").textContent;
    const what = { svg: "picture", png: "picture", csv: "data" };
    const group = document.createElement("p");
    group.className = "downloads";
    const [label, failed] = [document.createElement("span"), document.createElement("span")];
    label.textContent = "Download";
    failed.setAttribute("role", "status");
    group.append(label);
    for (const [kind, make] of Object.entries(sources)) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = kind.toUpperCase();
      button.dataset.kind = kind;
      button.setAttribute("aria-label", `Download the ${what[kind]} of ${title} as ${kind.toUpperCase()}`);
      button.addEventListener("click", async () => {
        try {
          failed.textContent = "";
          save(`${figure.id}.${kind}`, new Blob([await make()]));
        } catch (error) {
          failed.textContent = `${kind.toUpperCase()} cannot be made: ${error.message}`;
        }
      });
      group.append(button);
    }
    group.append(failed);
    figure.append(group);
  }

  const charts = [...document.querySelectorAll("figure > script.packed")].map((script) => {
    const [figure, packed] = [script.parentElement, JSON.parse(script.textContent)];
    offer(figure, {
      svg: () => svg(unpacked(packed)),
      png: () => png(unpacked(packed)),
      csv: () => csv(packed.data),
    });
    return chart(figure, packed);
  });
  // when every script of the page listens and the page has gone where its address points
  addEventListener("load", () => setTimeout(() => showAll(charts).then(() => watch(charts))));
  return { arrange, cell, config, offer, png, rows, scheme, svg };
})();
