"use strict";
// Learning curves against compute as the reader wants them, with their envelope as scaling/frontier.py has it.
// Data are explorer.section's: numbers of runs and of their points, in columns.
const explorer = (() => {
  const figure = document.getElementById("explorer");
  const data = JSON.parse(document.getElementById("explorer-data").textContent);
  const form = figure.querySelector("form");
  const place = figure.querySelector(".chart");
  const status = document.getElementById("explorer-status");
  const PF_DAY = 8.64e19;
  const GRID_POINTS = 60;
  const FEWEST = 3;
  const MOST_NAMED = 12;
  const MANY = 4000;
  const runs = picking.runs;
  const curves = unpack();

  // a curve for each run that has one: its points, of which those from `past` on make the envelope
  function unpack() {
    let from = 0;
    const made = data.curves.run.map((run, at) => {
      const to = from + data.curves.length[at];
      const [step, tokens, loss] = ["step", "tokens", "loss"].map((name) => data.curves[name].slice(from, to));
      from = to;
      const first = step.findIndex((value) => value >= data.runs.warmup[at]);
      const counts = data.runs.sound[at] && first >= 0 && step.length - first >= 2;
      const past = counts ? first : step.length;
      let record = Infinity;
      const lowest = loss.map((value, point) => (record = Math.min(point === past ? Infinity : record, value)));
      return { at, run, step, tokens, loss, past, lowest, name: runs.run[run], N: runs.N[run] };
    });
    return made.sort((a, b) => a.N - b.N || (a.name < b.name ? -1 : 1));
  }

  function state() {
    const chosen = new FormData(form);
    const experiments = chosen.getAll("experiment").map(Number);
    const [compute, counting, N, unit] = ["compute", "counting", "N", "unit"].map((name) => chosen.get(name));
    return { compute, counting, N, unit, experiments };
  }

  // the curves of the experiments shown that can be counted so, each with its compute in PF-days
  function shown({ compute, counting, experiments }) {
    const { alpha_B, B_star } = data.critical.parameters ?? {};
    return curves.flatMap((curve) => {
      const [flops, B] = [data.runs[counting][curve.at], runs.B[curve.run]];
      const wanted = data.runs.experiments[curve.at].some((name) => experiments.includes(name));
      if (!wanted || flops === null || (compute === "C_min" && B === null)) return [];
      const share = (loss) => (compute === "C_min" ? 1 + B / (B_star / loss ** (1 / alpha_B)) : 1);
      const x = curve.tokens.map((tokens, point) => (tokens * flops) / PF_DAY / share(curve.lowest[point]));
      return [{ ...curve, x }];
    });
  }

  // ln of the lowest loss so far at ln compute `at`, between test points; infinite where the curve has none
  function interpolate(span, at) {
    const { x, y } = span;
    let [low, high] = [0, x.length - 1];
    if (at < x[low] || at > x[high]) return Infinity;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (x[middle] <= at) low = middle;
      else high = middle;
    }
    return y[low] + ((y[high] - y[low]) * (at - x[low])) / (x[high] - x[low]);
  }

  // the lowest loss at each of 60 computes (frontier.interpolate), where no run had done better with less;
  // `fitted`: whether a law of the envelope is fitted to it (efficient.envelope)
  function envelope(chosen) {
    const spans = chosen
      .filter((curve) => curve.past < curve.x.length)
      .map((curve) => ({
        ...curve,
        x: curve.x.slice(curve.past).map(Math.log),
        y: curve.lowest.slice(curve.past).map(Math.log),
      }));
    if (spans.length < FEWEST) return [];
    const ascending = (a, b) => a - b;
    const first = spans.map(({ x }) => x[0]).sort(ascending)[1];
    const last = Math.max(first, spans.map(({ x }) => x.at(-1)).sort(ascending).at(-2));
    const [smallest, largest] = [spans[0].N, spans.at(-1).N];
    let record = Infinity;
    const found = [];
    for (let point = 0; point < GRID_POINTS; point += 1) {
      const at = point === GRID_POINTS - 1 ? last : first + (point * (last - first)) / (GRID_POINTS - 1);
      const losses = spans.map((span) => interpolate(span, at));
      const best = losses.reduce((least, loss, index) => (loss < losses[least] ? index : least), 0);
      const reach = losses.filter(Number.isFinite).length;
      if (!reach || losses[best] > record) continue;
      record = losses[best];
      const { run, name, N } = spans[best];
      const fitted = reach > 1 && N > smallest && N < largest;
      found.push({ at: run, run: name, x: Math.exp(at), y: Math.exp(losses[best]), fitted });
    }
    return found;
  }

  // --- axes, as charts/theme.py has them ---

  const significant = (value, digits = 3) => String(Number(value.toPrecision(digits)));

  function si(value) {
    const names = ["", "k", "M", "G", "T"];
    const power = Math.min(names.length - 1, Math.max(0, Math.floor(Math.log10(Number(value.toPrecision(3))) / 3)));
    return significant(value / 1000 ** power) + names[power];
  }

  const ofDecades = (low, high, mantissas) => {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
      found.push(...mantissas.map((m) => Number(`${m}e${power}`)).filter((value) => value >= low && value <= high));
    }
    return found;
  };
  const atMost = (values, most) => values.filter((_, at) => at % Math.ceil(values.length / most) === 0);

  function ticks([low, high], most = 8) {
    for (const [mantissas, fewest] of [[[1], 3], [[1, 2, 5], 4]]) {
      const values = ofDecades(low, high, mantissas);
      if (values.length >= fewest) return atMost(values, most);
    }
    const finest = Math.floor(Math.log10((high - low) / most));
    const steps = [finest, finest + 1].flatMap((power) => [1, 2, 5].map((m) => Number(`${m}e${power}`)));
    const step = steps.find((each) => high - low <= most * each);
    const count = Math.floor(high / step) - Math.ceil(low / step) + 1;
    return Array.from({ length: count }, (_, k) => Number(((Math.ceil(low / step) + k) * step).toPrecision(10)));
  }

  function domain(values, room) {
    let [low, high] = [Infinity, -Infinity];
    for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
    const margin = room * Math.log(high / low) || 0.1;
    return [low * Math.exp(-margin), high * Math.exp(margin)];
  }

  const labelled = (values, label) => ({
    values,
    labelExpr: `[${values.map((value) => `'${label(value)}'`).join(", ")}][indexof([${values.join(", ")}], datum.value)]`,
  });

  const logarithmic = (field, ends, axis) => ({
    field,
    type: "quantitative",
    scale: { type: "log", domain: ends, nice: false },
    axis,
  });

  // '2·10' and '−7' of 2e-7: the power is a mark of its own, since fonts without superscripts change its face
  const written = (value) => {
    const [mantissa, power] = value.toExponential(2).split("e");
    return [Number(mantissa) === 1 ? "10" : `${Number(mantissa)}·10`, String(Number(power)).replace("-", "−")];
  };

  // --- the chart ---

  const N_TITLE = { N: "non-embedding parameters N", N_total: "parameters N, embeddings counted" };
  const C_TITLE = { C: "training compute C (PF-days)", C_min: "adjusted compute C_min (PF-days)" };
  const UNIT = { nats: "nats per token", bits: "bits per byte" };

  // marks of other runs than the marked one are dim, and those of the marked one stronger
  const dimmed = (opacity, dim = 0.1) => ({
    condition: [
      { test: "picked !== '' && datum.run !== picked", value: dim },
      { test: "picked !== ''", value: 1 },
    ],
    value: opacity,
  });

  function rowsOf(chosen, { N, unit }) {
    const factor = unit === "bits" ? data.bits.factor : 1;
    const [faint, full] = [[], []];
    for (const { run, name, step, loss, past, x } of chosen) {
      const size = runs[N][run];
      step.forEach((at, point) => {
        const row = { at: run, run: name, shape: runs.shape[run], N: size, step: at, x: x[point], y: loss[point] * factor };
        if (point >= past) full.push(row);
        if (point <= past) faint.push(row);
      });
    }
    return { faint, full };
  }

  function fitRows({ compute, counting, unit }, x) {
    const { band, slope, names } = data.fits[compute][counting];
    if (!band) return { line: [], reference: [], names: [] };
    const factor = unit === "bits" ? data.bits.factor : 1;
    const line = band.x.map((at, point) => ({
      line: names[0],
      x: at,
      y: band.y[point] * factor,
      low: band.low[point] * factor,
      high: band.high[point] * factor,
    }));
    const middle = line[Math.floor(line.length / 2)];
    const reference = x.map((at) => ({ line: names[1], x: at, y: middle.y * (at / middle.x) ** -slope }));
    return { line, reference, names };
  }

  function specification(now, chosen, found) {
    const factor = now.unit === "bits" ? data.bits.factor : 1;
    const { faint, full } = rowsOf(chosen, now);
    const framed = full.length ? full : faint;
    const ends = { x: domain(framed.map(({ x }) => x), 0.02), y: domain(framed.map(({ y }) => y), 0.04) };
    const sizes = [...new Set([...full, ...faint].map(({ N }) => N))].sort((a, b) => a - b);
    const { line, reference, names } = fitRows(now, ends.x);
    const beads = found.map((row) => ({ ...row, y: row.y * factor }));

    let tens = ofDecades(...ends.x, [1]);
    tens = tens.length >= 2 ? atMost(tens, 8) : ticks(ends.x, 3);
    const axes = {
      x: (field) => logarithmic(field, ends.x, { title: C_TITLE[now.compute], labelOffset: -6, ...labelled(tens, (value) => written(value)[0]) }),
      y: (field) => logarithmic(field, ends.y, { title: `test loss (${UNIT[now.unit]})`, ...labelled(ticks(ends.y), significant) }),
    };
    const xy = { x: axes.x("x"), y: axes.y("y") };
    const scale = { type: "log", domain: sizes.length > 1 ? [sizes[0], sizes.at(-1)] : [sizes[0] / 2, sizes[0] * 2] };
    const few = sizes.length <= MOST_NAMED;
    const legend = {
      title: N_TITLE[now.N],
      orient: "top",
      direction: "horizontal",
      ...(few
        ? { type: "symbol", symbolType: "circle", symbolStrokeWidth: 0, ...labelled(sizes, si) }
        : { type: "gradient", gradientLength: { expr: "min(width, 240)" }, ...labelled(ticks(scale.domain, 5), si) }),
    };
    const tooltip = [
      { field: "run", type: "nominal" },
      { field: "shape", type: "nominal" },
      { field: "N", type: "quantitative", format: ",d", title: now.N === "N" ? "N" : "N with embeddings" },
      { field: "step", type: "quantitative", format: ",d" },
      { field: "x", type: "quantitative", format: ".3~e", title: "PF-days" },
      { field: "y", type: "quantitative", format: ".4f", title: UNIT[now.unit] },
    ];
    const lines = (values, more) => ({
      data: { values },
      mark: { type: "line", strokeWidth: 1.4, clip: true, aria: false, ...more },
      encoding: {
        ...xy,
        detail: { field: "at", type: "nominal" },
        order: { field: "step", type: "quantitative" },
        stroke: { field: "N", type: "quantitative", scale, legend: null },
        strokeWidth: { condition: { test: "picked !== '' && datum.run === picked", value: 3 }, value: 1.4 },
        opacity: dimmed(values === full ? 1 : 0.25),
        tooltip: tooltip.slice(0, 3),
      },
    });
    const dash = {
      field: "line",
      type: "nominal",
      scale: { domain: names, range: [[1, 0], [7, 4]] },
      legend: { title: null, orient: "bottom", direction: "vertical", columns: 1, offset: 4, symbolType: "stroke", symbolSize: 500 },
    };
    const fit = line.length
      ? [
          { data: { values: line }, mark: { type: "area", style: "band", clip: true, aria: false }, encoding: { x: axes.x("x"), y: axes.y("low"), y2: { field: "high" } } },
          { data: { values: reference }, mark: { type: "line", style: "reference", clip: true, aria: false }, encoding: { ...xy, strokeDash: dash } },
          { data: { values: line }, mark: { type: "line", style: "fit", clip: true, aria: false }, encoding: { ...xy, strokeDash: dash } },
        ]
      : [];
    const powers = tens.map((value) => [value, ...written(value)]).map(([value, mantissa, power]) => {
      const half = [...mantissa].reduce((sum, character) => sum + ("·.".includes(character) ? 3.5 : 6.1), 0) / 2;
      return {
        data: { values: [{ x: value, power }] },
        mark: { type: "text", style: "exponent", align: "left", baseline: "middle", dy: 10, dx: half - 5, aria: false },
        encoding: { x: axes.x("x"), y: { value: "height" }, text: { field: "power", type: "nominal" } },
      };
    });
    const points = {
      data: { values: full },
      mark: { type: "point", filled: true, clip: true, size: 14 },
      encoding: { ...xy, fill: { field: "N", type: "quantitative", scale, legend }, opacity: dimmed(1), tooltip },
    };
    const path = {
      data: { values: beads },
      mark: { type: "line", style: "error", clip: true, aria: false },
      encoding: { ...xy, opacity: { condition: { test: "picked !== ''", value: 0.3 }, value: 0.8 } },
    };
    const bead = {
      data: { values: beads.filter(({ fitted }) => fitted) },
      mark: { type: "point", style: "bead", filled: true, size: 12, clip: true, aria: false },
      encoding: { ...xy, opacity: dimmed(1, 0.2), tooltip: [tooltip[0], ...tooltip.slice(4)] },
    };
    return {
      $schema: "https://vega.github.io/schema/vega-lite/v6.json",
      description: `Test loss falling with training compute, both logarithmic. ${told(now, chosen, found)}`,
      width: "container",
      height: 420,
      autosize: { type: "fit-x", contains: "padding" },
      params: [{ name: "picked", value: picking.picked() }],
      layer: [lines(faint, { opacity: 0.25 }), lines(full), points, ...fit, path, bead, ...powers],
      resolve: { legend: { stroke: "independent" } },
      config: page.config(),
    };
  }

  function told(now, chosen, found) {
    const factor = now.unit === "bits" ? data.bits.factor : 1;
    const names = now.experiments.map((at) => data.experiments[at]).join(", ");
    const drawn = `Shown: ${chosen.length} of ${curves.length} runs with a learning curve${names && ` (${names})`}.`;
    if (!now.experiments.length) return `${drawn} Tick an experiment to see its curves.`;
    if (!found.length) return `${drawn} No envelope: fewer than ${FEWEST} of them have two test points past the warm-up.`;
    const [first, last] = [found[0], found.at(-1)];
    const raised = (power) => power.replace(/[-+\d]/g, (sign) => ({ "-": "⁻", "+": "" })[sign] ?? "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign]);
    const days = ({ x }) => x.toExponential(2).replace(/e(.*)/, (_, power) => ` × 10${raised(power)}`);
    const count = found.filter(({ fitted }) => fitted).length;
    const fits = count
      ? `${count} of its points lie between the smallest and the largest size, as a fit needs them.`
      : "At none of its points is the best size between the smallest and the largest, as a fit needs it.";
    const end = `${(last.y * factor).toFixed(3)} ${UNIT[now.unit]} at ${days(last)} PF-days, by ${last.run}`;
    return `${drawn} The envelope begins at ${days(first)} PF-days and ends at ${end}. ${fits}`;
  }

  // rows of the chart as CSV, as page.js writes those of the others
  function csv() {
    const now = state();
    const chosen = shown(now);
    const { full, faint } = rowsOf(chosen, now);
    const [counts, marked] = [new Set(full), envelope(chosen)];
    const factor = now.unit === "bits" ? data.bits.factor : 1;
    const lines = [["series", "run", "shape", "N", "step", "PF-days", UNIT[now.unit], "low", "high"]];
    for (const row of [...faint.filter((each) => !counts.has(each)), ...full]) {
      const series = counts.has(row) ? "learning curve" : "learning curve, in no fit";
      lines.push([series, row.run, row.shape, row.N, row.step, row.x, row.y]);
    }
    for (const row of marked) {
      lines.push([row.fitted ? "envelope" : "envelope, in no fit", row.run, runs.shape[row.at], runs[now.N][row.at], "", row.x, row.y * factor]);
    }
    for (const row of fitRows(now, []).line) lines.push(["fit", "", "", "", "", row.x, row.y, row.low, row.high]);
    // as many cells in every line
    const whole = lines.map((line) => Array.from(lines[0], (_, at) => line[at]));
    return whole.map((line) => `${line.map(page.cell).join(",")}\n`).join("");
  }

  // --- drawing ---

  let spec;
  let drawn = Promise.resolve();
  let size = 0;

  function draw() {
    const now = state();
    const chosen = shown(now);
    const found = envelope(chosen);
    const words = told(now, chosen, found);
    if (status.textContent !== words) status.textContent = words;
    for (const part of figure.querySelectorAll("[data-counting]")) {
      part.hidden = part.dataset.compute !== now.compute || part.dataset.counting !== now.counting;
    }
    figure.querySelector("[data-unit]").hidden = now.unit !== "bits";
    figure.querySelector("[data-adjusted]").hidden = now.compute !== "C_min";
    size = place.clientWidth;
    drawn = drawn.then(async (before) => {
      before?.finalize();
      if (!chosen.length) {
        place.replaceChildren();
        return undefined;
      }
      spec = specification(now, chosen, found);
      const made = structuredClone(spec);
      made.config.legend.columns = Math.max(3, Math.floor((size - 60) / 76));
      const many = chosen.reduce((sum, { x }) => sum + x.length, 0) > MANY;
      const result = await vegaEmbed(place, made, { renderer: many ? "canvas" : "svg", actions: false });
      document.dispatchEvent(new CustomEvent("drawn", { detail: { figure, view: result.view, spec } }));
      return result;
    });
    return drawn;
  }

  page.offer(figure, { svg: () => page.svg(spec), png: () => page.png(spec), csv });
  form.addEventListener("change", draw);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("scheme", draw);
  draw();
  let waiting;
  new ResizeObserver(() => {
    clearTimeout(waiting);
    waiting = setTimeout(() => place.clientWidth && place.clientWidth !== size && draw(), 150);
  }).observe(place);
  return { state, shown, envelope, drawn: () => drawn };
})();
