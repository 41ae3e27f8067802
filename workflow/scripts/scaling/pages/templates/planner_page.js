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
    if (Number.isInteger(value) && value >= 1e3 && value < 1e5) return value.toLocaleString("en");
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

  // commas stand between thousands or nowhere: what 1,80 means depends on who types it
  const PLAIN = /^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
  const GROUPED = /^\d{1,3}(,\d{3})+(\.\d+)?$/;
  function parsed(text) {
    if (GROUPED.test(text)) return Number(text.replaceAll(",", ""));
    return PLAIN.test(text) ? Number(text) : NaN;
  }
  class Wrong extends Error {}
  function number(name, { least = 0, most = Infinity, optional = false, zero = false } = {}) {
    const field = form.elements[name];
    const text = field.value.trim();
    const value = parsed(text);
    const fine = Number.isFinite(value) && (zero ? value >= least : value > least) && value <= most;
    const empty = optional && text === "";
    field.setAttribute("aria-invalid", String(!fine && !empty));
    if (!fine && !empty) {
      const label = field.labels[0].firstChild.textContent.trim();
      const end = most < Infinity ? ` and at most ${most < 1e6 ? most : most.toExponential().replace("+", "")}` : "";
      field.setAttribute("aria-errormessage", "planner-wrong");
      throw new Wrong(`${label}: found “${field.value}”, expected a number ${zero ? "of at least" : "above"} ${least}${end}.`);
    }
    return empty ? null : value;
  }

  // whether the law knows a critical batch
  const critical = () => known.roads.find((one) => one.name === form.elements.road.value).x === "S_min";

  function question() {
    const ask = form.elements.ask.value;
    for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
    const flops = number("peak", { most: 1e20 }) * (number("utilisation", { most: 100 }) / 100);
    const asked = {
      road: form.elements.road.value,
      counting: form.elements.counting.value,
      times: critical() ? number("times") : 1,
      served: number("served", { zero: true }),
      devices: number("devices"),
      flops,
      price: number("price", { optional: true }),
    };
    if (ask === "loss") return { ...asked, loss: number("loss", { most: 100 }) };
    asked.budget = number("budget") * unitOf();
    if (!(asked.budget < 1e40)) throw new Wrong("amount: more than 1e40 FLOPs, expected a smaller budget.");
    return ask === "size" ? { ...asked, N: number("N", { most: 1e20 }) } : asked;
  }

  function command(asked) {
    const parts = ["python workflow/scripts/plan_budget.py"];
    if (known.study !== "default") parts.push(`--planner results/studies/${known.study}/planner.json`);
    const options = {
      budget: asked.budget, loss: asked.loss, size: asked.N, law: asked.road, counting: asked.counting,
      batch: critical() ? asked.times : null, served: asked.served, devices: asked.devices, accelerator: number("peak"),
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
    const { best, planned, money } = found;
    const rows = [
      ["size N, parameters", best.N, count],
      ["tokens D", best.D, count],
      ["batch B, tokens", best.B, count],
      ["steps S", best.S, count],
      ["peak learning rate", best.learning_rate, readable],
      ["loss, nats per token", planned.loss, significant],
      ["loss of each draw's own best plan", asked.N == null && asked.loss == null ? best.loss : null, significant],
      ["loss of this size, trained without end", planned.converged, significant],
      ["training compute, FLOPs", best.C, readable],
      ["serving compute, FLOPs", asked.served ? best.served : null, readable],
      ["wall time of training", money.seconds, duration],
      ["device-hours of training", money.device_hours, count],
      ["price of training", money.price, count],
      ["price of serving", asked.served ? money.serving : null, count],
      ["training compute for which this size is the best, FLOPs", planned.is_best?.C, readable],
      ["and its loss then", planned.is_best?.loss, significant],
    ];
    return rows.filter(([, value]) => value).map(([name, value, write]) => [name, ...told(value, write)]);
  }

  const VERY = 100;
  function distance({ beyond }) {
    const words = { C: "most compute", N: "largest size", D: "most tokens" };
    const parts = Object.entries(words).filter(([name]) => beyond[name]).map(([name, what]) => `${times(beyond[name])} the ${what}`);
    const far = Object.keys(words).some((name) => beyond[name] > 1);
    const very = Object.keys(words).some((name) => beyond[name] > VERY);
    return `${far ? "Extrapolation beyond" : "Within the range of"} the study's runs: ${parts.join(", ")} of any run.${very ? " Nothing that was measured tells whether the law holds so far out." : ""}`;
  }

  function summary(asked, found) {
    const { best, planned, money } = found;
    if (found.reason) return `There is no such plan: ${found.reason}.`;
    const of = (number, write) => told(number, write)[0];
    const time = money.seconds ? ` It takes ${of(money.seconds, duration)} on these devices.` : "";
    const serving = asked.served ? `, and ${of(best.served, readable)} to serve` : "";
    if (asked.loss != null)
      return `A loss of ${asked.loss} costs ${of(best.C, readable)} FLOPs${serving}: N ${of(best.N, count)} on ${of(best.D, count)} tokens.${time}`;
    return `N ${of(best.N, count)} on ${of(best.D, count)} tokens reaches a loss of ${of(planned.loss, significant)} nats per token.${time}`;
  }

  // the same question to another law, at its own batch where it knows no other
  function otherRow(asked, road) {
    const name = `${road.formula}${road.total ? ", embeddings counted in N" : ""}`;
    const found = planner.answer(known, { ...asked, road: road.name, times: road.x === "S_min" ? asked.times : 1 });
    const fit = road.certificate.passed ? "certified" : "not certified";
    if (found.reason) return [name, "none", "none", "none", fit];
    return [name, told(found.best.N, count), told(found.best.D, count), told(found.planned.loss, significant), fit];
  }

  function show(asked, found) {
    const road = known.roads.find((one) => one.name === asked.road);
    at("planner-summary").textContent = summary(asked, found);
    const far = at("planner-distance");
    far.textContent = found.reason ? "" : distance(found);
    far.hidden = Boolean(found.reason);
    for (const [name, least] of [["far", 1], ["very", VERY]])
      far.classList.toggle(name, Object.values(found.beyond).some((ratio) => ratio > least));
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
    fill(at("planner-best"), null, found.reason ? [] : bestRows(asked, found));
    fill(
      at("planner-others"),
      ["by another law", "N", "tokens", "loss", "the fit"],
      found.reason ? [] : known.roads.filter((one) => one !== road).map((one) => otherRow(asked, one))
    );
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
    at("planner-batches-note").hidden = Boolean(found.reason);
    at("planner-batches-note").textContent = found.batches.length
      ? `All to the same loss with the same size, by S = S_min (1 + B_crit / B): where a larger batch takes no longer for a step, wall time goes with the steps, and the price with the compute. B_crit was measured at losses of ${road.critical_losses.map((loss) => significant(loss)).join(" to ")}; this plan's is ${significant(found.best.loss.value)}.`
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
    const whole = found.best.C.value + found.best.served.value;
    const rows = planner
      .frontierLine(known, { ...asked, budget: undefined, loss: undefined, N: undefined }, Math.min(reached, whole) / 100, Math.max(reached, whole))
      .filter((row) => row.loss)
      .map((row) => ({ x: row.budget / PF_DAY, ...band(row.loss) }));
    if (!rows.length || !reached) return null;
    const plan = [{ x: whole / PF_DAY, ...band(found.best.loss) }];
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
    const whole = found.best.C.value + found.best.served.value;
    const rows = planner.sizesLine(known, asked, found.best.N.value, whole).filter((row) => row.worse).map((row) => ({ N: row.N, ...band(row.worse) }));
    const y = { axis: { title: asked.N == null ? "nats worse than the best size" : "nats worse than this size" } };
    const x = axis("N", "size N (parameters)");
    x.axis.format = "~s";
    const [least, most] = [rows[0], rows[rows.length - 1]];
    if (!least) return null;
    const shapes = found.shapes.filter((shape) => shape.loss).map((shape) => ({ N: shape.N, y: shape.loss.value - found.planned.loss.value, shape: `${shape.n_layer} × ${shape.d_model}` }));
    return {
      description: `How many nats worse other sizes are than N ${count(found.best.N.value)} with the same compute: ${significant(least.y)} at N ${count(least.N)}, ${significant(most.y)} at N ${count(most.N)}.`,
      height: 250,
      layer: [
        { data: { values: rows }, mark: { type: "area", style: "band" }, encoding: { x, y: { field: "low", type: "quantitative", ...y }, y2: { field: "high" } } },
        { data: { values: rows }, mark: { type: "line", style: "fit" }, encoding: { x, y: { field: "y", type: "quantitative", ...y } } },
        ...(shapes.length && asked.loss == null && asked.N == null
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
      const result = await vegaEmbed(at(id).querySelector(".chart"), whole, { renderer: "svg", actions: false });
      views.push(result);
      document.dispatchEvent(new CustomEvent("drawn", { detail: { figure: at(id), view: result.view, spec } }));
    }
  }

  const CAPTIONS = {
    "planner-reach": "The best loss by the chosen law against compute, with its interval. The dashed line is the most compute of any run: right of it nothing was measured.",
    "planner-sizes-chart": "The same compute spent on another size: a smaller one sees more tokens, a larger one fewer. The band is the interval of the difference.",
  };
  function draw(asked, found) {
    specs.clear();
    const makers = { "planner-reach": reachSpec, "planner-sizes-chart": sizesSpec };
    for (const [id, make] of Object.entries(makers)) {
      const spec = found.reason ? null : make(asked, found);
      at(id).hidden = !spec;
      at(id).querySelector("figcaption").textContent = CAPTIONS[id];
      if (spec) specs.set(id, spec);
    }
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
    form.querySelector("[data-critical]").hidden = !critical();
  }

  const KEPT = ["ask", "budget", "unit", "served", "loss", "N", "accelerator", "peak", "devices", "utilisation", "price", "road", "counting", "times"];
  const START = "#plan?";
  function remember() {
    const { accelerator } = form.elements;
    const value = (name) => (name === "accelerator" ? accelerator.selectedOptions[0].text : form.elements[name].value);
    const kept = new URLSearchParams(KEPT.map((name) => [name, value(name)]));
    history.replaceState(null, "", `${START}${kept}`);
  }
  function recall() {
    if (!location.hash.startsWith(START)) return false;
    for (const [name, value] of new URLSearchParams(location.hash.slice(START.length))) {
      if (!KEPT.includes(name)) continue;
      const field = form.elements[name];
      if (name === "accelerator") field.selectedIndex = Math.max(0, [...field.options].findIndex(({ text }) => text === value));
      else if (field.tagName !== "SELECT" || [...field.options].some((option) => option.value === value)) {
        const before = field.value;
        field.value = value;
        if (name === "ask" && field.value !== value) field.value = before;
      }
    }
    return true;
  }

  function update() {
    adapt();
    unit = unitOf();
    const wrong = at("planner-wrong");
    try {
      const asked = question();
      show(asked, planner.answer(known, asked));
      wrong.hidden = true;
      at("planner-answer").classList.remove("stale");
      at("planner-answer").inert = false;
      return true;
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      wrong.textContent = error.message;
      wrong.hidden = false;
      at("planner-answer").classList.add("stale");
      at("planner-answer").inert = true; // the last answer is no answer to this
      return false;
    }
  }

  const unitOf = () => ({ flops: 1, "pf-days": PF_DAY, hours: 36 * parsed(form.elements.devices.value) * parsed(form.elements.peak.value) * parsed(form.elements.utilisation.value) })[form.elements.unit.value];
  let unit = unitOf();
  // another unit leaves the budget as it is
  form.elements.unit.addEventListener("input", () => {
    const amount = (parsed(form.elements.budget.value) * unit) / unitOf();
    if (Number.isFinite(amount)) form.elements.budget.value = String(Number(amount.toPrecision(3)));
  });
  let waiting;
  form.addEventListener("input", (event) => {
    if (event.target.name === "accelerator" && event.target.value) form.elements.peak.value = event.target.value;
    if (event.target.name === "peak") form.elements.accelerator.value = "";
    adapt();
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
      csv: () => rowsOf(id, specs.get(id)),
    });
  }
  function rowsOf(id, spec) {
    const names = { "planner-reach": { x: "compute (PF-days)", y: "loss (nats per token)" }, "planner-sizes-chart": { N: "N", y: "nats worse" } }[id];
    const columns = Object.entries({ ...names, low: "low", high: "high" });
    const rows = spec.layer[0].data.values.map((row) => columns.map(([key]) => row[key]));
    return [columns.map(([, name]) => name), ...rows].map((row) => `${row.map(page.cell).join(",")}\n`).join("");
  }
  addEventListener("hashchange", () => recall() && update());
  const recalled = recall();
  update();
  if (recalled) at("plan").scrollIntoView();
})();
