// Who is taken for whom: the matrix, and clips of the most confused pairs.

function confusion(host) {
  if (!study.matrix) return;
  const cards = new Map(study.pairs.map((pair) => [`${pair.true} ${pair.predicted}`, pairCard(pair)]));
  const plot = html("div", { class: "panel" });
  const notes = [
    study.notes.pictures ? `Without pictures: ${study.notes.pictures}.` : null,
    study.pairs.length ? null : "Nothing is confused.",
  ].filter(Boolean).map((text) => html("p", { class: "hint" }, text));
  host.replaceChildren(
    plot,
    html("div", { class: "panel gallery", tabindex: 0 }, ...notes, ...cards.values()),
  );
  const show = (pair) => {
    for (const card of cards.values()) card.classList.remove("hit");
    const card = cards.get(pair);
    if (!card) return;
    card.classList.add("hit");
    card.scrollIntoView({ block: "nearest" });
  };
  drawn(plot, () => plot.replaceChildren(drawMatrix(plot.clientWidth - 28, cards, show)));
}

function pairCard(pair) {
  const clips = pair.members.map((place) => clipItem(place, `→ ${className(pair.predicted)}`));
  return html(
    "div", { class: "pair" },
    html("p", {}, html("b", {}, className(pair.true)), " taken for ",
      html("b", {}, className(pair.predicted)),
      html("small", {}, `  ${pair.clips} of ${pair.of} clips`)),
    html("ul", { class: "clips" }, ...clips),
  );
}

function drawMatrix(width, cards, show) {
  const { labels, rows, classes } = study.matrix;
  const names = labels.map(className);
  const longest = Math.max(...names.map((name) => name.length));
  const margin = Math.min(0.34 * width, 14 + 6.6 * longest);
  const side = Math.min((width - margin) / labels.length, 56);
  const size = side * labels.length;
  const font = Math.max(6, Math.min(12, side * 0.8));
  const fits = Math.floor(margin / (0.55 * font));
  const cut = (name) => (name.length > fits ? `${name.slice(0, fits - 1)}…` : name);
  const height = size + margin + 10;
  const chart = svg("svg", {
    class: "plot", viewBox: `0 0 ${width} ${height}`, height, role: "img",
    "aria-label": "Confusion matrix: true classes in rows, most probable classes in columns",
  });
  rows.forEach((row, i) => {
    const whole = row.reduce((sum, each) => sum + each, 0) || 1;
    const y = i * side;
    chart.append(svg("text", {
      x: margin - 6, y: y + side / 2 + font / 3, "text-anchor": "end", "font-size": font,
    }, cut(names[i])));
    row.forEach((clips, j) => {
      const share = clips / whole;
      const pair = `${labels[i]} ${labels[j]}`;
      const colour = i === j ? "--frontier" : "--path";
      const cell = svg("rect", {
        class: "cell", x: margin + j * side, y, width: side, height: side,
        style: { fill: `color-mix(in srgb, var(${colour}) ${Math.round(100 * Math.sqrt(share))}%, var(--page))` },
      });
      cell.addEventListener("pointermove", (event) => {
        const said = i === j ? "right" : `taken for ${names[j]}`;
        showTip({ x: event.clientX, y: event.clientY }, names[i],
          `${clips} of ${whole} clips ${said} (${percent(share, 0)})`);
        cell.classList.toggle("hit", clips > 0);
      });
      cell.addEventListener("pointerleave", () => {
        cell.classList.remove("hit");
        hideTip();
      });
      if (cards.has(pair)) cell.addEventListener("click", () => show(pair));
      chart.append(cell);
      if (clips && side >= 20) {
        chart.append(svg("text", {
          class: "count", x: margin + (j + 0.5) * side, y: y + side / 2 + 4,
          "text-anchor": "middle",
          style: { fill: share > 0.25 ? "var(--card)" : "var(--ink)" },
        }, clips));
      }
    });
  });
  names.forEach((name, j) => {
    const [x, y] = [margin + (j + 0.5) * side + font / 3, size + 8];
    chart.append(svg("text", {
      x, y, "text-anchor": "end", "font-size": font, transform: `rotate(-90 ${x} ${y})`,
    }, cut(name)));
  });
  const part = labels.length < classes
    ? `the ${labels.length} of ${classes} classes with most mistakes; ` : "";
  return html("div", {}, chart,
    html("p", { class: "hint" }, `${part}rows are true classes, columns the most probable ones`));
}
