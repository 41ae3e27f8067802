"use strict";
// One run marked through all charts of the page: by a click on its marks, in the table of runs, or by name.
// Charts that can dim the others have the parameter "picked" (picking.pickable); "picked" on document says that
// another run is marked.
const picking = (() => {
  const form = document.getElementById("picking");
  const runs = JSON.parse(document.getElementById("picking-data").textContent);
  const index = new Map(runs.run.map((name, at) => [name, at]));
  const [select, clear, said] = [form.elements.run, form.querySelector("button"), form.querySelector("output")];
  const hint = said.textContent;
  const views = new Map();
  const specs = new Map();
  const buttons = new Map();
  let picked = "";

  function told(at) {
    const count = (value) => value.toLocaleString("en");
    const parts = [
      runs.shape[at],
      `N ${count(runs.N[at])}`,
      runs.steps[at] && `${count(runs.steps[at])} steps`,
      runs.B[at] && `B ${count(runs.B[at])} tokens`,
      runs.tokens[at] && `${count(runs.tokens[at])} tokens in all`,
      runs.loss[at] === null ? "no test loss" : `test loss ${runs.loss[at].toFixed(3)} nats per token`,
      runs.status[at],
      runs.experiments[at],
    ];
    return `Marked: ${runs.run[at]} (${parts.filter(Boolean).join(", ")}).`;
  }

  // names of runs among the rows of a chart
  const held = new WeakMap();
  function runsOf(spec) {
    if (held.has(spec)) return held.get(spec);
    const found = new Set();
    const look = (part) => {
      if (Array.isArray(part)) part.forEach(look);
      else if (part && typeof part === "object") {
        if (typeof part.run === "string") found.add(part.run);
        else Object.values(part).forEach(look);
      }
    };
    look(spec);
    held.set(spec, found);
    return found;
  }
  const holds = (figure) => runsOf(specs.get(figure)).has(picked);

  // a chart without the run stays as it is
  function tell(view, figure) {
    try {
      view.signal("picked", holds(figure) ? picked : "").runAsync();
    } catch {
      // a chart without rows of runs has no such parameter
    }
  }

  function pick(name) {
    const next = index.has(name) && name !== picked ? name : "";
    if (next === picked) return;
    buttons.get(picked)?.setAttribute("aria-pressed", "false");
    picked = next;
    buttons.get(picked)?.setAttribute("aria-pressed", "true");
    select.value = picked === "" ? "" : String(index.get(picked));
    clear.disabled = picked === "";
    form.classList.toggle("picked", picked !== "");
    const count = [...specs.keys()].filter(holds).length;
    said.textContent = picked === "" ? hint : `${told(index.get(picked))} It is in ${count} of the charts as they are.`;
    views.forEach(tell);
    document.dispatchEvent(new CustomEvent("picked", { detail: picked }));
  }

  // the run of a mark that was clicked: of a line only if it joins points of one run
  function runOf(item) {
    const run = item?.datum?.run;
    if (!index.has(run)) return undefined;
    const joins = item.mark.marktype === "line" || item.mark.marktype === "area";
    return joins && item.mark.items.some((other) => other.datum.run !== run) ? undefined : run;
  }

  document.addEventListener("drawn", ({ detail: { figure, view, spec } }) => {
    views.set(figure, view);
    specs.set(figure, spec);
    view.addEventListener("click", (event, item) => {
      const run = runOf(item);
      if (run !== undefined) pick(run);
    });
    if (picked !== "") tell(view, figure);
  });

  for (const [name, at] of [...index].sort(([, a], [, b]) => runs.N[a] - runs.N[b] || a - b)) {
    const option = document.createElement("option");
    option.value = String(at);
    option.textContent = name;
    select.append(option);
  }
  select.addEventListener("change", () => {
    const name = select.value === "" ? "" : runs.run[select.value];
    if (name !== picked) pick(name);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    pick("");
    select.focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented) pick("");
  });

  for (const code of document.querySelectorAll("#runs tbody .slug code")) {
    if (!index.has(code.textContent)) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "pick";
    button.setAttribute("aria-pressed", "false");
    button.title = "mark this run in all charts";
    code.replaceWith(button);
    button.append(code);
    button.addEventListener("click", () => pick(code.textContent));
    buttons.set(code.textContent, button);
  }
  return { runs, pick, picked: () => picked };
})();
