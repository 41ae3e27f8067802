"use strict";
// The planner's form and the places of its answer; the numbers are planner.js's.
(() => {
  const form = document.getElementById("planner-form");
  if (!form) return;
  const { known, trust } = JSON.parse(document.getElementById("planner-data").textContent);
  const at = (id) => document.getElementById(id);

  // --- how numbers read: as charts/wording.py has them ----------------------------------------------------

  const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const raised = (power) => `${power < 0 ? "⁻" : ""}${[...String(Math.abs(power))].map((digit) => RAISED[digit]).join("")}`;
  const scientific = (value, digits = 3) => {
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
    return `${mantissa} × 10${raised(Number(exponent))}`;
  };
  const significant = (value, digits = 3) => {
    if (value === 0) return "0";
    const places = digits - 1 - Math.floor(Math.log10(Math.abs(Number(value.toPrecision(digits)))));
    return value.toFixed(Math.min(Math.max(places, 0), 20));
  };
  const minus = (text) => text.replace("-", "−");
  const readable = (value) => {
    const size = Math.abs(value);
    return minus(value === 0 || (size >= 1e-3 && size < 1e4) ? significant(value) : scientific(value));
  };
  const NAMES = ["", " thousand", " million", " billion", " trillion"];
  const count = (value) => {
    if (!(value >= 1e3 && value < 1e15)) return readable(value);
    const rounded = Number(value.toPrecision(3));
    const power = Math.floor(Math.log10(rounded) / 3 + 1e-9);
    return `${Number((rounded / 1000 ** power).toPrecision(3))}${NAMES[power]}`;
  };
  const signed = (value) => minus(`${value < -0.0005 ? "" : "+"}${(Math.round(value * 1e3) / 1e3 + 0).toFixed(3)}`);
  const duration = (seconds) => {
    for (const [unit, length] of [["years", 31557600], ["days", 86400], ["hours", 3600], ["minutes", 60]])
      if (seconds >= 2 * length) return `${count(seconds / length)} ${unit}`;
    return `${significant(seconds)} seconds`;
  };
  const times = (ratio) => (ratio > 1e-3 && ratio < 1e3 ? `${significant(ratio)} times` : `${scientific(ratio, 2)} times`);

  // a number and its interval as two texts, in brackets where a fit behind it is not certified
  function told(number, write) {
    if (!number) return ["none", ""];
    const value = write(number.value);
    const low = number.low === null ? "no lower bound" : write(number.low);
    const high = number.high === null ? "no upper bound" : write(number.high);
    const interval = low === value && high === value ? "" : `${low} to ${high}`;
    return number.certified ? [value, interval] : [`(${value})`, interval && `(${interval})`];
  }

  // --- the question ---------------------------------------------------------------------------------------

  const given = (name) => form.elements[name].value.trim().replaceAll(",", "").replaceAll("_", "");
  class Wrong extends Error {}
  function number(name, { least = 0, most = Infinity, optional = false, zero = false } = {}) {
    const field = form.elements[name];
    const text = given(name);
    const value = Number(text);
    const fine = text !== "" && Number.isFinite(value) && (zero ? value >= least : value > least) && value <= most;
    const empty = optional && text === "";
    field.setAttribute("aria-invalid", String(!fine && !empty));
    if (!fine && !empty) {
      const label = field.labels[0].firstChild.textContent.trim();
      const end = most < Infinity ? ` and at most ${most}` : "";
      throw new Wrong(`${label}: found “${field.value}”, expected a number ${zero ? "of at least" : "above"} ${least}${end}, such as 1e21.`);
    }
    return empty ? null : value;
  }

  function question() {
    const ask = form.elements.ask.value;
    const flops = number("peak") * (number("utilisation", { most: 100 }) / 100);
    const asked = {
      road: form.elements.road.value,
      counting: form.elements.counting.value,
      times: number("times"),
      served: ask === "loss" ? 0 : number("served", { zero: true }),
      devices: number("devices"),
      flops,
      price: number("price", { optional: true, zero: true }),
    };
    if (ask === "loss") return { ...asked, loss: number("loss", { most: 100 }) };
    const unit = { flops: 1, "pf-days": 8.64e19, hours: 3600 * asked.devices * flops }[form.elements.unit.value];
    asked.budget = number("budget") * unit;
    return ask === "size" ? { ...asked, N: number("N", { most: 1e20 }) } : asked;
  }

  function command(asked) {
    const parts = ["python workflow/scripts/plan_budget.py"];
    if (known.study !== "default") parts.push(`--planner results/studies/${known.study}/planner.json`);
    const options = {
      budget: asked.budget, loss: asked.loss, size: asked.N, law: asked.road, counting: asked.counting,
      batch: asked.times, served: asked.served, devices: asked.devices, accelerator: given("peak"),
      utilisation: asked.flops / number("peak"), price: asked.price,
    };
    for (const [name, value] of Object.entries(options))
      if (value !== undefined && value !== null)
        parts.push(`--${name} ${/^[\w.+-]+$/.test(value) ? value : `'${value}'`}`);
    return parts.join(" ");
  }

  // --- the answer -----------------------------------------------------------------------------------------

  function element(tag, text, className) {
    const made = document.createElement(tag);
    made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  // rows of cells: a text, or [text, what stands small under it]
  function fill(table, headings, rows) {
    if (headings) {
      const head = document.createElement("tr");
      for (const [i, heading] of headings.entries()) {
        const cell = element("th", heading, i ? "number" : "");
        cell.scope = "col";
        head.append(cell);
      }
      table.tHead.replaceChildren(head);
    }
    table.tBodies[0].replaceChildren(
      ...rows.map((row) => {
        const line = document.createElement("tr");
        for (const [i, content] of row.entries()) {
          const [text, small] = Array.isArray(content) ? content : [content, ""];
          const cell = element(i ? "td" : "th", text, i ? "number" : "");
          if (!i) cell.scope = "row";
          if (small) cell.append(" ", element("small", small));
          line.append(cell);
        }
        return line;
      })
    );
    const shown = rows.length > 0;
    const box = table.closest(".scroll");
    box.hidden = !shown;
    if (box.previousElementSibling?.tagName === "H3") box.previousElementSibling.hidden = !shown;
  }

  function bestRows(asked, found) {
    const { best, money, at_budget: budget } = found;
    const rows = [
      ["size N, parameters", best.N, count],
      ["tokens D", best.D, count],
      ["batch B, tokens", best.B, count],
      ["steps S", best.S, count],
      ["peak learning rate", best.learning_rate, readable],
      [asked.N != null ? "loss where this size is the best, nats per token" : "loss, nats per token", best.loss, significant],
      ["loss of this size trained without end", found.converged, significant],
      ["training compute, FLOPs", best.C, readable],
      ["serving compute, FLOPs", asked.served ? best.served : undefined, readable],
      ["wall time", money.seconds, duration],
      ["device-hours", money.device_hours, count],
      ["price", money.price, count],
    ];
    if (budget) rows.push(["tokens with the whole budget", budget.D, count], ["loss with the whole budget", budget.loss, significant]);
    return rows.filter(([, value]) => value !== undefined).map(([name, value, write]) => [name, ...told(value, write)]);
  }

  function distance({ beyond }) {
    const words = { C: "compute", N: "size", D: "tokens" };
    const parts = Object.entries(words).filter(([name]) => beyond[name]).map(([name, what]) => `${times(beyond[name])} the ${what}`);
    if (!parts.length) return "How far this is from the study's runs is not known.";
    const far = Object.keys(words).some((name) => beyond[name] > 1);
    return `${far ? "Extrapolation beyond" : "Within the range of"} the largest run: ${parts.join(", ")}.`;
  }

  function summary(asked, found) {
    const { best, money } = found;
    if (!best.N) return "By this law there is no such plan: the loss is below what any size reaches, or no size is best.";
    const of = (number, write) => told(number, write)[0];
    const time = money.seconds ? ` It takes ${of(money.seconds, duration)} on these devices.` : "";
    if (asked.loss != null)
      return `A loss of ${asked.loss} costs ${of(best.C, readable)} FLOPs: N ${of(best.N, count)} on ${of(best.D, count)} tokens.${time}`;
    if (asked.N != null) {
      const end = found.at_budget?.loss ? ` With the whole budget it reaches ${of(found.at_budget.loss, significant)}.` : " The budget does not even serve it.";
      return `N ${count(asked.N)} is the best size for ${of(best.C, readable)} FLOPs, at a loss of ${of(best.loss, significant)}.${end}`;
    }
    return `N ${of(best.N, count)} on ${of(best.D, count)} tokens reaches a loss of ${of(best.loss, significant)} nats per token.${time}`;
  }

  function show(asked, found) {
    const road = known.roads.find((one) => one.name === asked.road);
    at("planner-summary").textContent = summary(asked, found);
    const far = at("planner-distance");
    far.textContent = found.best.N ? distance(found) : "";
    far.classList.toggle("far", (found.beyond.C ?? 0) > 1 || (found.beyond.N ?? 0) > 1);
    const words = trust[asked.road];
    at("planner-trust").replaceChildren(
      ...[["The fit", words.certificate], ["Its forecast of the largest tenth of compute", words.forecast], ["Its data", words.data]].map(
        ([name, text]) => {
          const pair = document.createElement("div");
          pair.append(element("dt", name), element("dd", text));
          return pair;
        }
      )
    );
    fill(at("planner-best"), null, bestRows(asked, found));
    fill(
      at("planner-shapes"),
      ["layers × width", "heads", "d_ff", "N", "tokens", "loss"],
      found.shapes.map((shape) => [
        `${shape.n_layer} × ${shape.d_model}`, String(shape.n_head), String(shape.d_ff), count(shape.N),
        shape.D ? count(shape.D) : "none left", told(shape.loss, significant),
      ])
    );
    fill(
      at("planner-sizes"),
      ["size", "N", "tokens", "loss", "worse by, nats", "compute to the same loss"],
      found.sizes.map((row) => [
        `${significant(row.times, 3).replace(/\.?0+$/, "")} ×`, count(row.N), row.D ? count(row.D) : "none left",
        told(row.loss, significant), told(row.worse, signed), row.compute ? told(row.compute, (value) => `${significant(value)} ×`) : "never",
      ])
    );
    fill(
      at("planner-batches"),
      ["batch / B_crit", "B, tokens", "steps", "steps, times the plan's", "compute, times the plan's"],
      found.batches.map((row) => [
        significant(row.times).replace(/\.?0+$/, ""), told(row.B, count), told(row.S, count),
        significant(row.steps.value), significant(row.compute.value),
      ])
    );
    at("planner-batches-note").textContent = found.batches.length
      ? "All to the same loss with the same size, by S = S_min (1 + B_crit / B): where a larger batch takes no longer for a step, wall time goes with the steps, and the price with the compute."
      : road.x === "S"
        ? `What a larger batch buys needs B_crit(L), which this law does not know: its steps are those of batches of ${count(road.batch)} tokens.`
        : "What a larger batch buys needs B_crit(L), which this law does not know.";
    at("planner-command").textContent = command(asked);
    draw(asked, found);
  }

  // --- two charts -----------------------------------------------------------------------------------------

  const PF_DAY = 8.64e19;
  const axis = (field, title, more = {}) => ({ field, type: "quantitative", scale: { type: "log", nice: false, ...more }, axis: { title, format: "~g", tickCount: 5 } });
  const band = (number) => ({ y: number.value, low: number.low ?? number.value, high: number.high ?? number.value });

  function reachSpec(asked, found) {
    const reached = known.reached.C[asked.counting];
    const whole = found.best.C.value + (found.best.served?.value ?? 0);
    const rows = planner
      .frontierLine(known, { ...asked, budget: undefined, loss: undefined, N: undefined }, Math.min(reached, whole) / 100, Math.max(reached, whole))
      .filter((row) => row.loss)
      .map((row) => ({ x: row.budget / PF_DAY, ...band(row.loss) }));
    const plan = [{ x: whole / PF_DAY, ...band(found.at_budget?.loss ?? found.best.loss) }];
    if (found.at_budget) plan[0].x = asked.budget / PF_DAY;
    const y = { scale: { type: "log", nice: false }, axis: { title: "test loss (nats per token)", format: ".3~g" } };
    const x = axis("x", "compute (PF-days)");
    x.axis.format = ".0e";
    return {
      description: `The best loss against compute by the law, to the plan at ${readable(plan[0].x)} PF-days; the largest run has ${readable(reached / PF_DAY)}.`,
      height: 250,
      layer: [
        { data: { values: rows }, mark: { type: "area", style: "band" }, encoding: { x, y: { field: "low", type: "quantitative", ...y }, y2: { field: "high" } } },
        { data: { values: rows }, mark: { type: "line", style: "fit" }, encoding: { x, y: { field: "y", type: "quantitative", ...y } } },
        { data: { values: [{ x: reached / PF_DAY }] }, mark: { type: "rule", style: "reference", strokeDash: [4, 3] }, encoding: { x } },
        { data: { values: [{ x: reached / PF_DAY, text: "largest run" }] }, mark: { type: "text", style: "note", align: "left", dx: 4, y: 8 }, encoding: { x, text: { field: "text" } } },
        { data: { values: plan }, mark: { type: "rule", style: "error" }, encoding: { x, y: { field: "low", type: "quantitative", ...y }, y2: { field: "high" } } },
        {
          data: { values: plan },
          mark: { type: "point", style: "measured", filled: true, size: 70, opacity: 1 },
          encoding: { x, y: { field: "y", type: "quantitative", ...y }, tooltip: [{ field: "x", type: "quantitative", format: ".3~e", title: "PF-days" }, { field: "y", type: "quantitative", format: ".4~g", title: "loss" }] },
        },
      ],
    };
  }

  function sizesSpec(asked, found) {
    const whole = found.best.C.value + (found.best.served?.value ?? 0);
    const rows = planner.sizesLine(known, asked, found.best.N.value, whole).filter((row) => row.worse).map((row) => ({ N: row.N, ...band(row.worse) }));
    const y = { axis: { title: "nats worse than the best size" } };
    const x = axis("N", "size N (parameters)");
    x.axis.format = "~s";
    const shapes = found.shapes.filter((shape) => shape.loss).map((shape) => ({ N: shape.N, y: shape.loss.value - found.best.loss.value, shape: `${shape.n_layer} × ${shape.d_model}` }));
    return {
      description: `How many nats worse other sizes are than N ${count(found.best.N.value)} with the same compute.`,
      height: 250,
      layer: [
        { data: { values: rows }, mark: { type: "area", style: "band" }, encoding: { x, y: { field: "low", type: "quantitative", ...y }, y2: { field: "high" } } },
        { data: { values: rows }, mark: { type: "line", style: "fit" }, encoding: { x, y: { field: "y", type: "quantitative", ...y } } },
        ...(asked.loss == null && asked.N == null
          ? [{ data: { values: shapes }, mark: { type: "point", style: "measured", filled: true, size: 50, opacity: 1 }, encoding: { x, y: { field: "y", type: "quantitative", ...y }, tooltip: [{ field: "shape", title: "layers × width" }, { field: "N", type: "quantitative", format: ",d" }, { field: "y", type: "quantitative", format: ".4~f", title: "nats worse" }] } }]
          : []),
      ],
    };
  }

  const specs = new Map();
  let views = [];
  async function render() {
    views.forEach((view) => view.finalize());
    views = [];
    for (const [id, spec] of specs) {
      const whole = { ...spec, width: "container", autosize: { type: "fit-x", contains: "padding" }, config: page.config() };
      views.push(await vegaEmbed(at(id).querySelector(".chart"), whole, { renderer: "svg", actions: false }));
    }
  }

  function draw(asked, found) {
    specs.clear();
    const shown = Boolean(found.best.N && found.best.loss);
    for (const id of ["planner-reach", "planner-sizes-chart"]) at(id).hidden = !shown;
    if (!shown) return;
    specs.set("planner-reach", reachSpec(asked, found));
    specs.set("planner-sizes-chart", sizesSpec(asked, found));
    at("planner-reach").querySelector("figcaption").textContent = "The best loss by the chosen law against compute, with its interval. The dashed line is the study's largest run: right of it nothing was measured.";
    at("planner-sizes-chart").querySelector("figcaption").textContent = "The same compute spent on another size: a smaller one sees more tokens, a larger one fewer. The band is the interval of the difference.";
    drawn = drawn.then(render);
  }
  let drawn = Promise.resolve();

  // --- wiring ---------------------------------------------------------------------------------------------

  function adapt() {
    const ask = form.elements.ask.value;
    for (const part of form.querySelectorAll("[data-for]")) {
      const used = part.dataset.for.split(" ").includes(ask);
      part.hidden = !used;
      part.disabled = !used;
    }
    const road = known.roads.find((one) => one.name === form.elements.road.value);
    form.querySelector("[data-critical]").hidden = road.x !== "S_min";
  }

  const KEPT = ["ask", "budget", "unit", "served", "loss", "N", "peak", "devices", "utilisation", "price", "road", "counting", "times"];
  const START = "#plan?";
  function remember() {
    const kept = new URLSearchParams(KEPT.map((name) => [name, form.elements[name].value]));
    history.replaceState(null, "", `${START}${kept}`);
  }
  function recall() {
    if (!location.hash.startsWith(START)) return false;
    for (const [name, value] of new URLSearchParams(location.hash.slice(START.length)))
      if (KEPT.includes(name)) {
        const before = form.elements[name].value;
        form.elements[name].value = value;
        if (form.elements[name].value !== value) form.elements[name].value = before;
      }
    form.elements.accelerator.value = form.elements.peak.value;
    if (form.elements.accelerator.selectedIndex < 0) form.elements.accelerator.value = "";
    return true;
  }

  function update() {
    adapt();
    const wrong = at("planner-wrong");
    try {
      const asked = question();
      show(asked, planner.answer(known, asked));
      wrong.hidden = true;
      at("planner-answer").classList.remove("stale");
      return true;
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      wrong.textContent = error.message;
      wrong.hidden = false;
      at("planner-answer").classList.add("stale");
      return false;
    }
  }

  let waiting;
  form.addEventListener("input", (event) => {
    if (event.target.name === "accelerator" && event.target.value) form.elements.peak.value = event.target.value;
    if (event.target.name === "peak") form.elements.accelerator.value = "";
    clearTimeout(waiting);
    waiting = setTimeout(() => update() && remember(), 120);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("scheme", () => {
    drawn = drawn.then(render);
  });
  for (const id of ["planner-reach", "planner-sizes-chart"]) {
    const sized = () => ({ ...specs.get(id), width: 560, height: 360 });
    page.offer(at(id), {
      svg: () => page.svg(sized()),
      png: () => page.png(sized()),
      csv: () => rowsOf(specs.get(id)),
    });
  }
  function rowsOf(spec) {
    const values = spec.layer[0].data.values;
    const names = Object.keys(values[0] ?? {});
    return [names, ...values.map((row) => names.map((name) => row[name]))].map((row) => `${row.map(page.cell).join(",")}\n`).join("");
  }
  const recalled = recall();
  update();
  if (recalled) at("plan").scrollIntoView();
})();
