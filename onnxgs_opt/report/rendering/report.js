"use strict";
const all = (query) => [...document.querySelectorAll(query)];

// Search: sections that hold the text stay, those of sites open.
const search = document.getElementById("search");
search.addEventListener("input", () => {
  const wanted = search.value.trim().toLowerCase();
  let found = 0;
  for (const part of all("main section")) {
    const holds = part.textContent.toLowerCase().includes(wanted);
    part.hidden = !holds;
    found += holds ? 1 : 0;
    const site = part.querySelector("details.site");
    if (site && wanted) site.open = holds;
  }
  document.getElementById("found").textContent = wanted ? `${found} found` : "";
});

// An address with #site3 opens that site.
const openTarget = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const site = target && target.querySelector("details.site");
  if (site) site.open = true;
};
addEventListener("hashchange", openTarget);
openTarget();

// What is closed is not printed.
addEventListener("beforeprint", () => all("details").forEach((each) => (each.open = true)));

// Copy the names beside a button; where the clipboard is closed, they are selected.
for (const button of all("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const names = button.parentElement.querySelector("pre");
    try {
      await navigator.clipboard.writeText(names.textContent);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(names);
      button.textContent = "selected";
    }
  });
}

// Of the cell of a heat map under the pointer: where it is, and what was found there.
for (const map of all("svg.heat")) {
  const values = map.dataset.values.split(",");
  const bands = JSON.parse(map.closest("main").dataset.bands);
  const letters = map.dataset.along;
  const columns = bands[letters.at(-1)], rows = letters.length > 1 ? bands[letters[0]] : [""];
  const edges = map.dataset.edges.split(",").map(Number);
  const told = map.parentElement.querySelector("output");
  map.addEventListener("pointermove", (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
    const [row, column] = [at.y, at.x].map((place) => edges.findLastIndex((edge) => edge <= place));
    if (row < 0 || column < 0 || row >= rows.length || column >= columns.length) return;
    const [error, points] = values[row * columns.length + column].split("/");
    const found = points ? `max |error| ${error} over ${points} points` : "no point";
    told.textContent = `${[columns[column], rows[row]].filter(Boolean).join(", ")}: ${found}`;
  });
}
