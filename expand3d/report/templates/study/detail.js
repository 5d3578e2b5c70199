// One network in detail: its numbers, its curves, its classes, and the clips that it got wrong.

const ALL_CLASSES = 12;
const FEW_CLIPS = 12;

function showDetail(host, number) {
  const trial = byNumber.get(number);
  if (!trial) {
    host.replaceChildren(html("p", { class: "hint" }, "Nothing was trained yet."));
    return;
  }
  const later = study.later.filter((each) => each.trial === number);
  host.replaceChildren(
    html("h3", {}, `Trial ${number}`),
    html("p", { class: "origin" }, trial.origin),
    ...badges(trial),
    result(trial),
    facts(trial),
    html("h4", {}, "Learning curve ", html("small", {}, curveNote(later))),
    ownCurves(trial, later),
    ...mistakes(trial),
  );
  host.scrollTop = 0;
}

function badges(trial) {
  const { number } = trial;
  return [
    [number === study.best, "won", "winner"],
    [onPath.has(number) && number !== study.best, "chosen", "chosen by its step"],
    [onFrontier.has(number), "front", "on the frontier"],
    [trial.baseline, "base", "published network"],
    [trial.state !== "complete", "out", trial.state],
  ].filter(([there]) => there).map(([, kind, text]) =>
    html("span", { class: `badge ${kind}` }, text));
}

function result(trial) {
  if (trial.top1 === null) return html("p", { class: "big" }, html("span", {}, trial.why));
  return html(
    "p", { class: "big" },
    html("strong", {}, percent(trial.top1)),
    html("span", {}, `top-1 of ${trial.clips} clips, 95% ${interval(trial.top1_ci)}`),
  );
}

function facts(trial) {
  const rows = [["network", trial.network], ["cost", trial.cost_text]];
  if (trial.params) rows.push(["parameters", `${(trial.params / 1e6).toFixed(2)} M`]);
  if (trial.top1 !== null) {
    rows.push(
      ["mean class", percent(trial.mean_class_accuracy)],
      ["log-loss", trial.nll.toFixed(3)],
    );
  }
  rows.push(["trained for", duration(trial.seconds)]);
  for (const each of study.later.filter((one) => one.trial === trial.number)) {
    const said = each.top1 === null
      ? each.why ?? "no clips were scored"
      : `${percent(each.top1)} (95% ${interval(each.top1_ci)}) on ${each.measured_on}`;
    rows.push([each.name, said]);
  }
  const grew = byNumber.get(trial.parent);
  return html(
    "dl", {},
    ...rows.flatMap(([name, text]) => [html("dt", {}, name), html("dd", {}, text)]),
    ...(grew ? [html("dt", {}, "grew from"), html("dd", {}, trialButton(grew))] : []),
  );
}

const trialButton = (trial) => html(
  "button", { type: "button", class: "more", onclick: () => select(trial.number) },
  `trial ${trial.number}, ${shortName(trial)}`,
);

const curveNote = (later) =>
  later.length ? "orange: as a candidate; green: trained further" : "solid: training; dots: held out";

function mistakes(trial) {
  if (trial.top1 === null) return [];
  const found = study.mistakes[trial.number];
  if (!found) {
    const why = "Classes and wrong clips of this network are left out, to keep the page small.";
    return [html("p", { class: "hint" }, why)];
  }
  const [wrong, of] = found.wrong_of;
  return [
    html("h4", {}, "Classes ", html("small", {}, "least accurate first")),
    classTable(found.classes),
    html("h4", {}, "Wrong clips ", html("small", {}, `${wrong} of ${of}`)),
    study.notes.predictions
      ? html("p", { class: "hint" }, `What they were taken for is unknown: ${study.notes.predictions}.`)
      : null,
    study.notes.pictures
      ? html("p", { class: "hint" }, `Without pictures: ${study.notes.pictures}.`)
      : null,
    wrongClips(found.wrong, wrong),
  ].filter(Boolean);
}

function classTable(rows) {
  const row = ([label, clips, right, taken, times]) => html(
    "tr", {},
    html("td", {}, className(label)),
    html("td", {}, html("span", { class: "bar" },
      html("i", { style: { width: percent(right / clips) } }))),
    html("td", { class: "number" }, `${plain(right)}/${clips}`),
    html("td", {}, taken === null ? "" : `${className(taken)} (${times})`),
  );
  const body = html("tbody", {}, ...rows.slice(0, ALL_CLASSES).map(row));
  const head = ["class", "", "right", "taken for"].map((text) => html("th", {}, text));
  const table = html("table", { class: "classes" }, html("thead", {}, html("tr", {}, ...head)), body);
  const rest = rows.slice(ALL_CLASSES);
  return html("div", {}, table, moreButton(rest.length, `${rest.length} more classes`, () =>
    body.append(...rest.map(row))));
}

function wrongClips(rows, count) {
  // Those with a picture come first.
  const ordered = [...rows].sort((one, other) =>
    (other[0] in study.pictures) - (one[0] in study.pictures));
  const item = ([place, predicted, times, of]) => clipItem(
    place, predicted === null ? "" : `→ ${className(predicted)}`,
    of > 1 ? ` (${times} of ${of} trainings)` : "",
  );
  const list = html("ul", { class: "clips" }, ...ordered.slice(0, FEW_CLIPS).map(item));
  const rest = ordered.slice(FEW_CLIPS);
  const hidden = count - rows.length;
  return html(
    "div", {}, list,
    moreButton(rest.length, `${rest.length} more clips`, () => list.append(...rest.map(item))),
    hidden ? html("p", { class: "hint" }, `${hidden} more are not listed here.`) : null,
  );
}

function clipItem(place, taken, note = "") {
  const clip = study.clips[place];
  const picture = study.pictures[place];
  const film = picture
    ? html("span", { class: "film", style: { backgroundImage: `url("${picture}")` } })
    : null;
  const attributes = { tabindex: picture ? 0 : null, title: clip.key };
  return html("li", attributes, film, html("b", {}, className(clip.label)), `${taken}${note}`,
    picture ? null : html("span", {}, ` ${clip.key}`));
}

function moreButton(count, text, show) {
  if (!count) return null;
  const button = html("button", { type: "button", class: "more" }, text);
  button.addEventListener("click", () => {
    show();
    button.remove();
  });
  return button;
}
