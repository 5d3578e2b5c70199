// Learning curves: of every network together, and of one by itself.

const MEASURES = {
  accuracy: { place: 2, test: 1, format: (value) => percent(value, 0), from: 0 },
  loss: { place: 1, test: 2, format: (value) => plain(value), from: null },
};

/** [clip visits, value] at the end of each epoch; epochs are spaced evenly over the visits. */
function epochPoints({ visits, epochs }, place) {
  const last = epochs.at(-1)?.[0] || epochs.length;
  return epochs
    .map((row, k) => [(visits * (row[0] ?? k + 1)) / last, row[place]])
    .filter(([, value]) => value !== null);
}

function seriesOf(trial, measure) {
  const { place, test } = MEASURES[measure];
  return (trial.curves ?? []).map((curve) => ({
    trial,
    name: curve.training,
    points: epochPoints(curve, place),
    tests: curve.tests.map((row) => [row[0], row[test]]),
    colour: colourOf(trial),
    dash: trial.state === "stopped" ? "4 3" : null,
  }));
}

const steps = [...new Set(study.trials.map((trial) => trial.step).filter((step) => step !== null))]
  .sort((one, other) => one - other);

/** The hue goes from blue over green to orange with the steps; published networks have a colour of their own. */
function colourOf(trial) {
  if (trial.step === null) return trial.baseline ? "var(--baseline)" : "var(--frontier)";
  const share = steps.length > 1 ? steps.indexOf(trial.step) / (steps.length - 1) : 0.5;
  return `hsl(${Math.round(215 - 185 * share)} 60% var(--tone))`;
}

function curvesChart(host) {
  const plot = html("div");
  const buttons = Object.keys(MEASURES).map((measure) => html(
    "button",
    {
      type: "button", "data-measure": measure,
      onclick: () => {
        selection.measure = measure;
        remember();
        draw();
      },
    },
    measure,
  ));
  const left = study.notes.curves_left_out;
  host.append(
    html(
      "div", { class: "curves-head" },
      html("div", { class: "toggle", role: "group", "aria-label": "What is drawn" }, ...buttons),
      html("span", { class: "hint" }, "solid: training clips; dots: clips that it never saw"),
    ),
    plot, curvesLegend(),
    html(
      "p", { class: "hint" },
      "A point is the end of an epoch; epochs are spaced evenly over the visits.",
      left ? ` To keep the page small, the curves of ${left} networks are left out.` : "",
    ),
  );
  const draw = drawn(plot, () => {
    for (const button of buttons) {
      button.setAttribute("aria-pressed", button.dataset.measure === selection.measure);
    }
    const { format, from } = MEASURES[selection.measure];
    const series = study.trials.flatMap((trial) => seriesOf(trial, selection.measure));
    plot.replaceChildren(lineChart(plot, series, {
      height: plot.clientWidth < 500 ? 280 : 380, format, from,
      label: `${selection.measure} of every training`,
      pick: {
        state: ({ trial }) => (trial.number === selection.trial ? "picked" : ""),
        say: ({ trial }) => [title(trial), summary(trial)],
        choose: ({ trial }) => select(trial.number),
      },
    }));
  });
  return { draw };
}

function curvesLegend() {
  const known = study.trials.filter((trial) => trial.curves?.length);
  const groups = new Map();
  for (const trial of known) {
    const name = trial.step !== null
      ? `step ${trial.step}`
      : trial.baseline ? "published network" : "candidate";
    groups.set(name, colourOf(trial));
  }
  // Of very many steps the colours between the first and the last are told by these alone.
  const all = [...groups];
  const told = all.length > 14 ? [all[0], all[all.length >> 1], all.at(-1)] : all;
  const stopped = known.some((trial) => trial.state === "stopped");
  return html(
    "ul", { class: "legend" },
    ...told.map(([name, colour]) =>
      html("li", {}, html("i", { class: "line", style: { background: colour } }), name)),
    stopped ? html("li", {}, "dashed: stopped early") : null,
  );
}

/** The curves of one network, and those of what it was trained further for. */
function ownCurves(trial, later) {
  const chart = (measure) => {
    const { place, test, format, from } = MEASURES[measure];
    const own = seriesOf(trial, measure).map((each) => ({ ...each, colour: "var(--path)" }));
    const more = later.map((each) => ({
      trial,
      points: epochPoints(each, place),
      tests: each.top1 === null ? [] : [[each.visits, test === 1 ? each.top1 : each.nll]],
      colour: "var(--final)",
      dash: null,
    }));
    const host = html("div", { "data-curve": measure });
    drawn(host, () => {
      const series = [...own, ...more];
      const label = `${measure} of trial ${trial.number}`;
      host.replaceChildren(
        html("small", { class: "hint" }, measure),
        lineChart(host, series, { height: 150, format, from, label }),
      );
    });
    return host;
  };
  return html("div", { class: "minis" }, chart("accuracy"), chart("loss"));
}
