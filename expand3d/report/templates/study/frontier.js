// Accuracy against cost: every scored network, which answers the mouse and the arrow keys.

const scored = study.trials
  .filter((trial) => trial.top1 !== null)
  .sort((one, other) => one.cost - other.cost || one.number - other.number);

function frontierChart(host) {
  let dots = new Map();
  const redraw = drawn(host, () => {
    host.replaceChildren();
    if (!scored.length) {
      host.append(html("p", { class: "hint" }, "No network has a score yet."));
      return;
    }
    dots = drawFrontier(host);
    mark();
  });
  const mark = () => {
    for (const [number, node] of dots) {
      const picked = number === selection.trial;
      node.classList.toggle("picked", picked);
      node.setAttribute("aria-pressed", picked);
      node.setAttribute("tabindex", picked ? 0 : -1);
    }
    const chosen = dots.get(selection.trial) ?? dots.values().next().value;
    chosen?.setAttribute("tabindex", 0);
    if (dots.has(selection.trial)) chosen.parentNode.append(chosen);
  };
  return { redraw, mark, focus: (number) => dots.get(number)?.focus() };
}

function frontierScales(width, height) {
  const box = { left: 50, right: 18, top: 30, bottom: 48 };
  const costs = [...scored.map((trial) => trial.cost), study.budget];
  const [low, high] = [Math.min(...costs), Math.max(...costs)];
  const room = Math.max(0.12, 0.05 * Math.log10(high / low));
  const cost = [low / 10 ** (1.6 * room), high * 10 ** room];
  const heights = [study.chance, ...scored.flatMap((trial) => trial.top1_ci)];
  for (const each of study.later) if (each.top1_ci) heights.push(...each.top1_ci);
  const top = [Math.max(0, Math.min(...heights) - 0.03), Math.min(1, Math.max(...heights) + 0.03)];
  return {
    box, cost, top,
    x: logarithmic(...cost, box.left, width - box.right),
    y: linear(...top, height - box.bottom, box.top),
  };
}

function drawFrontier(host) {
  const width = host.clientWidth - 28;
  const height = Math.round(Math.max(300, Math.min(560, 0.74 * width)));
  const scales = frontierScales(width, height);
  const chart = svg("svg", {
    class: "plot", viewBox: `0 0 ${width} ${height}`, height, role: "group",
    "aria-label": "Accuracy against cost; arrow keys walk from network to network",
  });
  drawAxes(chart, scales, width, height);
  drawWays(chart, scales, width);
  const layer = svg("g");
  const dots = new Map();
  for (const trial of [...scored].sort((one, other) => rank(one) - rank(other))) {
    const node = drawDot(trial, scales);
    dots.set(trial.number, node);
    layer.append(node);
  }
  chart.append(layer);
  for (const each of study.later) if (each.top1 !== null) drawLast(chart, each, scales);
  drawNames(chart, scales);
  respond(chart, dots, scales, { width, height });
  host.append(chart, frontierLegend());
  return new Map(scored.map((trial) => [trial.number, dots.get(trial.number)]));
}

const won = (trial) => onPath.has(trial.number) || trial.number === study.best;

const rank = (trial) =>
  won(trial) ? 3 : onFrontier.has(trial.number) ? 2 : trial.baseline ? 1 : 0;

function drawAxes(chart, { box, cost, top, x, y }, width, height) {
  for (const value of ticks(100 * top[0], 100 * top[1], 6)) {
    const at = y(value / 100);
    chart.append(
      svg("line", { class: "grid", x1: box.left, x2: width - box.right, y1: at, y2: at }),
      svg("text", { x: box.left - 8, y: at + 4, "text-anchor": "end" }, `${plain(value)}%`),
    );
  }
  let last = -Infinity;
  const { scale } = study.quantity;
  for (const value of logTicks(cost[0] / scale, cost[1] / scale)) {
    const at = x(value * scale);
    chart.append(
      svg("line", { class: "grid", x1: at, x2: at, y1: box.top, y2: height - box.bottom }),
    );
    if (at - last < 44) continue;
    last = at;
    chart.append(
      svg("text", { x: at, y: height - box.bottom + 18, "text-anchor": "middle" }, plain(value)),
    );
  }
  const unit = `${study.quantity.unit} per clip`;
  const budget = x(study.budget);
  chart.append(
    svg("text", { x: width - box.right, y: height - 8, "text-anchor": "end" }, unit),
    svg("text", { x: 4, y: 14 }, "top-1 accuracy"),
    svg("line", {
      class: "rule", x1: budget, x2: budget, y1: box.top, y2: height - box.bottom,
    }),
    svg("text", { x: budget, y: box.top - 8, "text-anchor": "middle" }, "budget"),
    svg("line", {
      class: "rule chance", x1: box.left, x2: width - box.right,
      y1: y(study.chance), y2: y(study.chance),
    }),
    svg("text", { x: box.left + 6, y: y(study.chance) - 5 }, `chance ${percent(study.chance)}`),
  );
}

/** The frontier as stairs, the path, and thin lines from each network to what grew from it. */
function drawWays(chart, { box, x, y }, width) {
  const place = (trial) => [x(trial.cost), y(trial.top1)];
  for (const trial of scored) {
    const parent = byNumber.get(trial.parent);
    if (!parent || parent.top1 === null) continue;
    const [[x1, y1], [x2, y2]] = [place(parent), place(trial)];
    chart.append(svg("line", { class: "fan", x1, y1, x2, y2 }));
  }
  const steps = study.frontier.map((number) => byNumber.get(number)).filter(Boolean);
  if (steps.length) {
    const corners = steps.map((trial, k) => {
      const [a, b] = place(trial);
      return k ? `H${a}V${b}` : `M${a},${b}`;
    });
    chart.append(svg("path", { class: "stairs", d: `${corners.join("")}H${width - box.right}` }));
  }
  const way = study.path.map((number) => byNumber.get(number)).filter(Boolean).map(place);
  if (way.length > 1) {
    chart.append(svg("polyline", { class: "way", points: way.map((each) => each.join()).join(" ") }));
  }
}

function drawDot(trial, { x, y }) {
  const [cx, cy] = [x(trial.cost), y(trial.top1)];
  const [low, high] = trial.top1_ci.map(y);
  const kinds = [
    onFrontier.has(trial.number) && "front", trial.baseline && "base",
    won(trial) && "path",
  ].filter(Boolean);
  const r = kinds.includes("path") ? 7.5 : 5.5;
  const mark = kinds.includes("base") && !kinds.includes("path")
    ? svg("path", { class: "mark", d: `M${cx},${cy - 7}l7,7l-7,7l-7,-7z` })
    : svg("circle", { class: "mark", cx, cy, r });
  const parts = [svg("line", { class: "whisker", x1: cx, x2: cx, y1: low, y2: high })];
  if (trial.latency_ms) {
    const [from, , to] = trial.latency_ms.map((ms) => x(ms * 1e6));
    if (study.quantity.key === "latency") {
      parts.push(svg("line", { class: "whisker", x1: from, x2: to, y1: cy, y2: cy }));
    }
  }
  return svg(
    "g",
    {
      class: ["dot", ...kinds].join(" "), role: "button", tabindex: -1,
      "data-number": trial.number, "aria-label": `${title(trial)}. ${summary(trial)}`,
    },
    ...parts, svg("circle", { class: "ring", cx, cy, r: r + 4 }), mark,
  );
}

/** A star: a later training of the winner, on clips that never chose. */
function drawLast(chart, each, { x, y }) {
  const trial = byNumber.get(each.trial);
  if (!trial) return;
  const [cx, cy] = [x(trial.cost), y(each.top1)];
  const [low, high] = each.top1_ci.map(y);
  const corners = Array.from({ length: 10 }, (_, k) => {
    const r = k % 2 ? 4.2 : 10;
    const turn = (Math.PI * k) / 5;
    return `${cx + r * Math.sin(turn)},${cy - r * Math.cos(turn)}`;
  });
  chart.append(svg(
    "g", { class: "dot last" },
    svg("title", {}, `${each.name}: ${percent(each.top1)} of ${each.clips} clips`),
    svg("line", { class: "whisker", x1: cx, x2: cx, y1: low, y2: high }),
    svg("polygon", { class: "mark", points: corners.join(" "), style: { pointerEvents: "none" } }),
  ));
}

function drawNames(chart, { x, y }) {
  const write = (trial, kind, dx, dy, anchor) => chart.append(svg(
    "text",
    { class: `name ${kind}`, x: x(trial.cost) + dx, y: y(trial.top1) + dy, "text-anchor": anchor },
    shortName(trial),
  ));
  let before = null;
  for (const trial of study.path.map((number) => byNumber.get(number)).filter(Boolean)) {
    const falling = before && trial.top1 < before.top1;
    write(trial, "", -9, falling ? 22 : -10, "end");
    before = trial;
  }
  const rest = scored.filter((trial) => trial.baseline && !onPath.has(trial.number));
  for (const trial of rest) write(trial, "base", 10, 4, "start");
}

function respond(chart, dots, { x, y }, size) {
  const places = scored.map((trial) => ({ a: x(trial.cost), b: y(trial.top1), trial }));
  let near = null;
  const mark = (trial) => {
    dots.get(near?.number)?.classList.remove("near");
    near = trial;
    dots.get(near?.number)?.classList.add("near");
  };
  const find = (event) => {
    const frame = chart.getBoundingClientRect();
    const a = ((event.clientX - frame.x) * size.width) / frame.width;
    const b = ((event.clientY - frame.y) * size.height) / frame.height;
    return nearest(places, a, b, 36)?.trial ?? null;
  };
  chart.addEventListener("pointermove", (event) => {
    mark(find(event));
    chart.style.cursor = near ? "pointer" : "";
    if (near) showTip({ x: event.clientX, y: event.clientY }, title(near), summary(near));
    else hideTip();
  });
  chart.addEventListener("pointerleave", () => {
    mark(null);
    hideTip();
  });
  chart.addEventListener("click", (event) => {
    const trial = find(event);
    if (trial) select(trial.number);
  });
  chart.addEventListener("keydown", (event) => {
    const here = scored.findIndex((trial) => trial.number === Number(event.target.dataset.number));
    if (here < 0) return;
    const to = {
      ArrowRight: here + 1, ArrowUp: here + 1, ArrowLeft: here - 1, ArrowDown: here - 1,
      Home: 0, End: scored.length - 1, Enter: here, " ": here,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const trial = scored[Math.max(0, Math.min(scored.length - 1, to))];
    select(trial.number);
    frontier.focus(trial.number);
    if (to !== here) showTip(middleOf(dots.get(trial.number)), title(trial), summary(trial));
  });
  chart.addEventListener("focusout", hideTip);
}

function frontierLegend() {
  const entries = [
    [study.path.length || study.best !== null, "path",
      study.path.length ? "chosen by a step" : "the winner"],
    [true, "frontier", "on the frontier: nothing cheaper is better"],
    [scored.some((trial) => rank(trial) === 0), "faint", "other candidates"],
    [scored.some((trial) => trial.baseline), "baseline", "published network, trained alike"],
    [study.later.some((each) => each.top1 !== null), "final", "trained further, on clips of the test"],
  ];
  return html(
    "ul", { class: "legend" },
    ...entries.filter(([there]) => there).map(([, colour, text]) =>
      html("li", {}, html("i", { style: { background: `var(--${colour})` } }), text)),
  );
}
