// What all parts share: the study, elements, words for numbers, scales and the tip.
// Texts come from users: they are set as text, never as HTML.

const study = JSON.parse(document.getElementById("content").textContent);
const byNumber = new Map(study.trials.map((trial) => [trial.number, trial]));
const onFrontier = new Set(study.frontier);
const onPath = new Set(study.path);

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "style") Object.assign(node.style, value);
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

const html = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);

const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}%`;

const interval = ([low, high]) => `${percent(low)} to ${percent(high)}`;

function duration(seconds) {
  if (seconds < 100) return `${seconds.toFixed(0)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

const amount = (cost) => Number((cost / study.quantity.scale).toPrecision(3));

const className = (label) =>
  label === null ? "unknown" : study.classes[label] ?? `class ${label}`;

/** The short name of a network: the factors that its step changed, or what it is. */
function shortName(trial) {
  if (trial.baseline && trial.step === null) return trial.baseline;
  if (!trial.axes.length) return trial.role === "base" ? "base" : trial.origin;
  const names = trial.axes.map((axis) => axis.replace("gamma_tau", "γτ").replace("gamma_", "γ"));
  return names.join(" = ") + (trial.role === "contract" ? " contracted" : "");
}

/** What the tip and a screen reader say of a network. */
function summary(trial) {
  const score = trial.top1 === null
    ? trial.why
    : `top-1 ${percent(trial.top1)} (95% ${interval(trial.top1_ci)})\n` +
      `mean class ${percent(trial.mean_class_accuracy)}, log-loss ${trial.nll.toFixed(3)}`;
  return `${trial.network}\n${trial.cost_text}\n${score}\ntrained for ${duration(trial.seconds)}`;
}

const title = (trial) => `trial ${trial.number}: ${trial.origin}`;

// Scales and ticks

const linear = (from, to, start, end) => (value) =>
  start + ((value - from) / (to - from || 1)) * (end - start);

const logarithmic = (from, to, start, end) => {
  const scale = linear(Math.log(from), Math.log(to), start, end);
  return (value) => scale(Math.log(value));
};

function ticks(from, to, count) {
  const rough = (to - from) / count;
  const power = 10 ** Math.floor(Math.log10(rough || 1));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough) ?? power;
  const found = [];
  for (let k = Math.ceil(from / step); k * step <= to + step / 1e6; k += 1) found.push(k * step);
  return found;
}

function logTicks(from, to) {
  const found = [];
  for (let power = Math.floor(Math.log10(from)); 10 ** power <= to; power += 1) {
    for (const each of [1, 2, 5]) {
      const value = each * 10 ** power;
      if (value >= from && value <= to) found.push(value);
    }
  }
  return found;
}

const plain = (value) => Number(value.toPrecision(3)).toLocaleString("en");

/** Draws now, and again whenever the width of `host` changes. */
function drawn(host, draw) {
  let width = 0;
  const look = () => {
    const now = Math.round(host.clientWidth);
    if (!now || now === width) return;
    width = now;
    draw();
  };
  new ResizeObserver(look).observe(host);
  return () => {
    width = 0;
    look();
  };
}

// The tip

const tipNode = document.getElementById("tip");

function showTip(at, heading, text) {
  tipNode.replaceChildren(html("b", {}, heading), text);
  tipNode.hidden = false;
  const { width, height } = tipNode.getBoundingClientRect();
  const left = at.x + 16 + width > innerWidth - 8 ? at.x - 16 - width : at.x + 16;
  tipNode.style.left = `${Math.max(8, left)}px`;
  tipNode.style.top = `${Math.max(8, Math.min(at.y + 14, innerHeight - height - 8))}px`;
}

const hideTip = () => {
  tipNode.hidden = true;
};

const middleOf = (node) => {
  const box = node.getBoundingClientRect();
  return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
};
