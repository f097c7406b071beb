"use strict";
// What every page can do beyond what works without scripts. `html.js` shows what needs it.
document.documentElement.classList.add("js");

// Tables of the class "sortable": each heading becomes a button that sorts the rows, and by a second press the other way round.
// A cell counts by its data-value, else by its text; numbers as numbers, what is empty or "–" always last. Of a heading
// over two columns the last counts. Rows in a <tfoot> stay.
const valueOf = cell => {
  const text = (cell?.dataset.value ?? cell?.textContent ?? "").trim();
  const number = parseFloat(text.replace(/,/g, ""));
  return text === "" || text === "–" ? null : Number.isNaN(number) ? text : number;
};
const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b
  : String(a).localeCompare(String(b), undefined, {numeric: true});
const sortBy = (table, heading, column) => {
  const body = table.tBodies[0];
  const rows = [...body.rows].map(row => [valueOf(row.cells[column]), row]);
  const before = heading.getAttribute("aria-sort");
  const up = before ? before === "descending" : rows.some(([value]) => typeof value === "string"); // numbers: largest first
  for (const other of table.tHead.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", up ? "ascending" : "descending");
  rows.sort(([a], [b]) => a === null || b === null ? (a === null) - (b === null) : up ? compare(a, b) : compare(b, a));
  body.append(...rows.map(([, row]) => row));
};
for (const table of document.querySelectorAll("table.sortable")) {
  let column = -1;
  for (const heading of table.tHead.rows[0].cells) {
    const last = column += heading.colSpan;
    if (!heading.textContent.trim()) continue;
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sortBy(table, heading, last));
    heading.append(button);
  }
}

// Keys. An element with data-key is clicked by that key; of several, the one within the item that has the focus, else the first
// that is seen. "j" and "k" go to the next and the previous [data-item] (elements that can have the focus, e.g. tabindex=-1).
const seen = element => element.getClientRects().length > 0;
const move = by => {
  const items = [...document.querySelectorAll("[data-item]")].filter(seen);
  const here = items.indexOf(document.activeElement?.closest("[data-item]"));
  const next = items[here < 0 ? (by > 0 ? 0 : items.length - 1) : here + by];
  next?.focus();
  next?.scrollIntoView({block: "nearest"});
};
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, select, textarea")) return;
  if (event.key === "j" || event.key === "k") return move(event.key === "j" ? 1 : -1);
  const selector = `[data-key="${CSS.escape(event.key)}"]`;
  const own = document.activeElement?.closest("[data-item]")?.querySelector(selector);
  const target = own ?? [...document.querySelectorAll(selector)].find(seen);
  if (target) { event.preventDefault(); target.click(); }
});
