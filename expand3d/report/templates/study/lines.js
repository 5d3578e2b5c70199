// A chart of lines over clip visits: series of {points, tests, colour, trial, dash, name}.

function lineChart(host, series, { height, format, label, from = null, pick = null }) {
  const width = Math.max(160, host.clientWidth || 300);
  const small = width < 320;
  const box = { left: small ? 34 : 50, right: 12, top: 10, bottom: small ? 24 : 40 };
  const all = series.flatMap((each) => [...each.points, ...each.tests]);
  if (!all.length) return html("p", { class: "hint" }, "No curve is kept yet.");
  const most = Math.max(...all.map(([x]) => x)) || 1;
  const ys = all.map(([, y]) => y);
  const low = from ?? Math.min(...ys);
  const high = Math.max(...ys);
  const spare = 0.06 * (high - low || 1);
  const x = linear(0, most * 1.03, box.left, width - box.right);
  const y = linear(from ?? low - spare, high + spare, height - box.bottom, box.top);
  const chart = svg("svg", {
    class: series.length > 60 ? "plot many" : "plot",
    viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label,
  });
  for (const value of ticks(from ?? low - spare, high + spare, small ? 3 : 5)) {
    chart.append(
      svg("line", { class: "grid", x1: box.left, x2: width - box.right, y1: y(value), y2: y(value) }),
      svg("text", { x: box.left - 6, y: y(value) + 4, "text-anchor": "end" }, format(value)),
    );
  }
  for (const value of ticks(0, most, small ? 2 : 6)) {
    chart.append(
      svg("text", { x: x(value), y: height - box.bottom + 16, "text-anchor": "middle" }, plain(value)),
    );
  }
  if (!small) {
    chart.append(
      svg("text", { x: width - box.right, y: height - 4, "text-anchor": "end" }, "clip visits"),
    );
  }
  const places = [];
  const layers = series.map((each) => {
    const points = each.points.map(([a, b]) => [x(a), y(b)]);
    const tests = each.tests.map(([a, b]) => [x(a), y(b)]);
    const state = pick ? pick.state(each) : "";
    const parts = [];
    if (points.length > 1) {
      parts.push(svg("polyline", {
        class: `curve ${state}`, points: points.map((point) => point.join(",")).join(" "),
        "stroke-dasharray": each.dash, style: { stroke: state === "picked" ? "" : each.colour },
      }));
    } else if (points.length) {
      parts.push(dot(points[0], 2.5, each, state));
    }
    if (tests.length > 1) {
      parts.push(svg("polyline", {
        class: `curve ${state}`, points: tests.map((test) => test.join(",")).join(" "),
        "stroke-dasharray": "6 4", style: { stroke: state === "picked" ? "" : each.colour },
      }));
    }
    if (points.length && tests.length) {
      // The step from the training clips to those that it never saw is no line of learning.
      const [end, test] = [points.at(-1), tests.at(-1)];
      parts.push(svg("line", {
        class: `curve ${state}`, x1: end[0], y1: end[1], x2: test[0], y2: test[1],
        "stroke-dasharray": "1 4", style: { stroke: state === "picked" ? "" : each.colour },
      }));
    }
    for (const test of tests) parts.push(dot(test, state === "picked" ? 6 : 4.5, each, state));
    for (const [a, b] of [...walk(points), ...walk(tests)]) places.push({ a, b, each, parts });
    return { parts, front: state === "picked" };
  });
  for (const front of [false, true]) {
    for (const layer of layers) if (layer.front === front) chart.append(...layer.parts);
  }
  if (pick) answer(chart, places, pick, { width, height });
  return chart;
}

function dot([cx, cy], r, each, state) {
  return svg("circle", {
    class: `held ${state}`, cx, cy, r, style: { fill: state === "picked" ? "" : each.colour },
  });
}

/** Points along a line, close enough to each other that the nearest is always near. */
function* walk(points) {
  yield* points;
  for (let k = 1; k < points.length; k += 1) {
    const [[ax, ay], [bx, by]] = [points[k - 1], points[k]];
    const parts = Math.ceil(Math.hypot(bx - ax, by - ay) / 12);
    for (let j = 1; j < parts; j += 1) {
      yield [ax + ((bx - ax) * j) / parts, ay + ((by - ay) * j) / parts];
    }
  }
}

function answer(chart, places, pick, size) {
  let near = null;
  const mark = (place) => {
    if (near) for (const part of near.parts) part.classList.remove("near");
    near = place;
    if (near) for (const part of near.parts) part.classList.add("near");
  };
  const find = (event) => {
    const frame = chart.getBoundingClientRect();
    const a = ((event.clientX - frame.x) * size.width) / frame.width;
    const b = ((event.clientY - frame.y) * size.height) / frame.height;
    return nearest(places, a, b, 28);
  };
  chart.addEventListener("pointermove", (event) => {
    const place = find(event);
    mark(place);
    chart.style.cursor = place ? "pointer" : "";
    if (place) showTip({ x: event.clientX, y: event.clientY }, ...pick.say(place.each));
    else hideTip();
  });
  chart.addEventListener("pointerleave", () => {
    mark(null);
    hideTip();
  });
  chart.addEventListener("click", (event) => {
    const place = find(event);
    if (place) pick.choose(place.each);
  });
}

function nearest(places, a, b, reach) {
  let best = null;
  let least = reach;
  for (const place of places) {
    const far = Math.hypot(place.a - a, place.b - b);
    if (far < least) [least, best] = [far, place];
  }
  return best;
}
