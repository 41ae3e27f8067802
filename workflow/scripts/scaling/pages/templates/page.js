"use strict";
// Panels side by side cannot follow their container by themselves as single charts do.
function arrange(spec, width) {
  if (!spec.concat) return spec;
  const columns = width < 480 ? 1 : spec.concat.length;
  const axes = 62;
  const panel = Math.max(90, Math.floor(width / columns) - axes);
  return { ...spec, columns, concat: spec.concat.map((part) => ({ ...part, width: panel })) };
}

function draw(figure) {
  const chart = figure.querySelector(".chart");
  const spec = JSON.parse(figure.querySelector("script").textContent);
  let drawn = 0;
  const show = () => {
    const width = chart.clientWidth;
    if (!width || (drawn && (!spec.concat || width === drawn))) return;
    drawn = width;
    vegaEmbed(chart, arrange(spec, width), {
      renderer: "svg",
      actions: { export: true, source: false, compiled: false, editor: false },
      downloadFileName: figure.id,
    });
  };
  new ResizeObserver(show).observe(chart);
  show();
}

for (const chart of document.querySelectorAll(".chart")) draw(chart.closest("figure"));
