"use strict";
// `charts`, the Vega charts by element id, is defined before this script.
const views = {};
const choices = { country: document.getElementById("country"), type: document.getElementById("type") };
const chosen = document.getElementById("chosen");
const listings = [...document.querySelectorAll("table[data-of]")].map(listing);

for (const time of document.querySelectorAll("time"))
  time.textContent = new Date(time.dateTime).toLocaleString("en", {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit",
    hourCycle: "h23", timeZoneName: "short",
  });

for (const [id, chart] of Object.entries(charts))
  vegaEmbed("#" + id, chart, { mode: "vega", actions: false, renderer: "svg", ast: true }).then(drawn => {
    views[id] = drawn.view;
    return draw(id);
  }).then(() => { document.body.dataset.drawn = Object.keys(views).length });

function draw(id) {
  if (!["map", "states", "types", "countries"].includes(id)) return;
  return views[id]
    .signal("country", choices.country.value).signal("brewery_type", choices.type.value).runAsync();
}

function plain(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

function number(many, one, more) {
  return `${many.toLocaleString("en")} ${many === 1 ? one : more}`;
}

// A table with a search box. Each row has its country and type as data attributes.
function listing(table) {
  const search = document.getElementById(table.dataset.search);
  const rows = [...table.tBodies[0].rows].map(row => ({
    row, text: plain([...row.cells].map(cell => cell.textContent).join(" ")),
    breweries: Number(row.dataset.breweries || 0),
  }));
  const [one, more] = table.dataset.of.split("/");
  const found = { table, rows, show() {
    const words = plain(search.value).split(/\s+/).filter(Boolean);
    let shown = 0, breweries = 0;
    for (const { row, text, breweries: here } of rows) {
      row.hidden = !fits(row) || !words.every(word => text.includes(word));
      if (!row.hidden) { shown++; breweries += here }
    }
    table.caption.textContent = number(shown, one, more)
      + (breweries ? ", " + number(breweries, "brewery", "breweries") : "");
  } };
  search.addEventListener("input", found.show);
  return found;
}

function fits(row) {
  return Object.entries(choices).every(([name, { value }]) => !value || row.dataset[name] === value);
}

function show() {
  const counts = listings.find(({ table }) => table.id === "counts");
  const breweries = counts.rows.filter(({ row }) => fits(row)).reduce((sum, row) => sum + row.breweries, 0);
  chosen.textContent = number(breweries, "brewery", "breweries");
  for (const id of Object.keys(views)) draw(id);
  for (const listed of listings) listed.show();
}

// The choice is in the URL, so that it can be shared: #country=belgium&type=micro
function read() {
  const sent = new URLSearchParams(location.hash.slice(1));
  for (const [name, select] of Object.entries(choices)) {
    select.value = sent.get(name) || "";
    if (select.selectedIndex < 0) select.value = "";
  }
  show();
}

function write() {
  const made = new URLSearchParams(Object.entries(choices).map(([name, { value }]) => [name, value])
    .filter(([_, value]) => value));
  history.replaceState(null, "", made.size ? `#${made}` : location.pathname + location.search);
  show();
}

for (const select of Object.values(choices)) select.addEventListener("change", write);
addEventListener("hashchange", read);

for (const head of document.querySelectorAll("th[aria-sort]"))
  head.firstElementChild.addEventListener("click", () => {
    const column = head.cellIndex, numeric = head.classList.contains("number");
    const { table, rows } = listings.find(({ table }) => table.contains(head));
    const [first, other] = numeric ? ["descending", "ascending"] : ["ascending", "descending"];
    const order = head.ariaSort === first ? other : first;
    for (const cell of table.tHead.rows[0].cells) cell.ariaSort = cell === head ? order : "none";
    const sign = order === "ascending" ? 1 : -1;
    const text = ({ row }) => row.cells[column].textContent;
    rows.sort((a, b) => sign * (numeric ? a.breweries - b.breweries : text(a).localeCompare(text(b), "en")));
    table.tBodies[0].append(...rows.map(({ row }) => row));
  });

read();
