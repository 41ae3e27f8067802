"use strict";
// What a chart cannot do by itself in a container of any width: set panels out in rows, wrap its legend.
function arrange(spec, width) {
  spec.config.legend.columns = Math.max(3, Math.floor((width - 60) / 76));
  if (!spec.concat) return spec;
  const columns = width < 480 ? 1 : spec.concat.length;
  const panel = Math.floor(width / columns) - 67;
  return { ...spec, columns, concat: spec.concat.map((part) => ({ ...part, width: panel })) };
}

function draw(figure) {
  const chart = figure.querySelector(".chart");
  const spec = JSON.parse(figure.querySelector("script").textContent);
  const options = {
    renderer: "svg",
    actions: { export: true, source: false, compiled: false, editor: false },
    downloadFileName: figure.id,
  };
  let width = 0;
  let drawn = Promise.resolve();
  const show = () => {
    if (!chart.clientWidth || chart.clientWidth === width) return;
    width = chart.clientWidth;
    drawn = drawn.then((result) => {
      if (result) result.finalize();
      return vegaEmbed(chart, arrange(spec, width), options);
    });
  };
  let waiting;
  new ResizeObserver(() => {
    clearTimeout(waiting);
    waiting = setTimeout(show, 150);
  }).observe(chart);
  show();
}

for (const chart of document.querySelectorAll(".chart")) draw(chart.closest("figure"));
