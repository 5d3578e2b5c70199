// What is selected, kept in the address so that a reload keeps it; and news of a running study.

const fragment = new URLSearchParams(location.hash.slice(1));
const asked = Number(fragment.get("trial") ?? NaN);
const selection = {
  trial: byNumber.has(asked) ? asked : study.best ?? scored.at(-1)?.number ?? study.trials[0]?.number,
  measure: fragment.get("curves") in MEASURES ? fragment.get("curves") : "accuracy",
};

function remember() {
  const { trial, measure } = selection;
  history.replaceState(null, "", `#trial=${trial}&curves=${measure}`);
}

function select(number) {
  if (!byNumber.has(number)) return;
  selection.trial = number;
  remember();
  showSelected();
}

function showSelected() {
  frontier.mark();
  curves.draw();
  showDetail(document.getElementById("detail"), selection.trial);
  for (const node of document.querySelectorAll("[data-trial]")) {
    node.classList.toggle("picked", Number(node.dataset.trial) === selection.trial);
  }
}

/** Rows and cards that the page was written with become ways to a network. */
function wireRows() {
  for (const node of document.querySelectorAll("[data-trial]")) {
    node.tabIndex = 0;
    const choose = () => {
      select(Number(node.dataset.trial));
      document.getElementById("frontier-heading").scrollIntoView({ block: "start" });
    };
    node.addEventListener("click", choose);
    node.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        choose();
      }
    });
  }
}

/** Asks whoever serves the page for a newer one; what is selected stands in the address. */
function watch() {
  const news = document.getElementById("news");
  const say = (text, over) => {
    news.hidden = false;
    news.textContent = text;
    news.classList.toggle("over", over);
  };
  say("live", false);
  const look = async () => {
    try {
      const answer = await fetch("version", { cache: "no-store" });
      const told = await answer.json();
      if (told.version !== study.version) {
        location.reload();
        return;
      }
      say(told.trouble ?? `live: ${study.state}`, Boolean(told.trouble));
    } catch {
      say("no longer served", true);
    }
    setTimeout(look, study.watch);
  };
  setTimeout(look, study.watch);
}

document.documentElement.classList.add("answers");
for (const node of document.querySelectorAll(".explore, .scripted")) node.hidden = false;
const frontier = frontierChart(document.getElementById("frontier"));
const curves = curvesChart(document.getElementById("curves"));
const confused = document.getElementById("confusion");
if (confused) confusion(confused);
wireRows();
showSelected();
addEventListener("keydown", (event) => {
  if (event.key === "Escape") hideTip();
});
addEventListener("beforeprint", () => {
  for (const node of document.querySelectorAll("details")) node.open = true;
});
if (study.watch) watch();
