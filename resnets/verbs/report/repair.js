"use strict";
// Going through pictures whose labels may be wrong. What is decided stays in the browser (localStorage, where it is allowed),
// and becomes a list of corrections by a button or Ctrl+S: path,given,action,label.
const bar = document.querySelector(".bar");
const items = [...document.querySelectorAll("article[data-item]")];
const labels = new Set([...document.querySelectorAll("#labels option")].map(option => option.value));
const several = bar.dataset.several === "1";
const key = `resnets repair ${bar.dataset.id}`;
const decided = new Map(); // path -> {action, label}
const history = []; // [path, what was decided before, or undefined]

const keep = () => {
  try { localStorage.setItem(key, JSON.stringify([...decided])); } catch { /* not allowed here: the download remains */ }
};
const words = ({action, label}) => action === "relabel" ? `becomes ${label || "nothing"}` : action === "drop" ? "left out" : "right as it is";

const show = item => {
  const found = decided.get(item.dataset.path);
  const taken = !found ? "" : found.action !== "relabel" ? found.action
    : item.dataset.action === "relabel" && found.label === item.dataset.label ? "relabel" : "other";
  item.toggleAttribute("data-decided", Boolean(found));
  for (const button of item.querySelectorAll("[data-do]")) button.setAttribute("aria-pressed", String(button.dataset.do === taken));
  say(item, found ? words(found) : "");
};
const say = (item, text, wrong = false) => {
  const place = item.querySelector(".said");
  place.textContent = text;
  place.classList.toggle("wrong", wrong);
};
const tell = () => {
  const num = items.filter(item => decided.has(item.dataset.path)).length;
  document.getElementById("progress").value = `${num} of ${items.length} decided`;
  document.getElementById("undo").disabled = history.length === 0;
};
const go = item => { item?.focus({preventScroll: true}); item?.scrollIntoView({block: "nearest"}); };

const decide = (item, found) => {
  const path = item.dataset.path, before = decided.get(path);
  history.push([path, before]);
  const again = before && found && before.action === found.action && before.label === found.label;
  if (again || !found) decided.delete(path); else decided.set(path, found);
  keep(); show(item); tell();
  if (!again) go([...items.slice(items.indexOf(item) + 1), ...items].find(other => !decided.has(other.dataset.path)) ?? item);
};
const other = (item, text) => {
  const wanted = several ? text.split("|").map(word => word.trim()).filter(Boolean) : [text.trim()];
  const strange = wanted.find(word => !labels.has(word));
  if (strange !== undefined || (!several && !wanted[0])) return say(item, `there is no label "${strange}"`, true);
  decide(item, {action: "relabel", label: wanted.join("|")});
};

for (const item of items) {
  const input = item.querySelector("input");
  item.addEventListener("click", event => {
    const button = event.target.closest("[data-do]");
    if (!button) return;
    if (button.dataset.do === "other") { input.hidden = false; input.focus(); return; }
    decide(item, {action: button.dataset.do, label: button.dataset.do === "relabel" ? item.dataset.label : ""});
  });
  input.addEventListener("keydown", event => {
    if (event.key === "Enter") { event.preventDefault(); other(item, input.value); }
    if (event.key === "Escape") { input.hidden = true; go(item); }
  });
}
document.getElementById("undo").addEventListener("click", () => {
  const last = history.pop();
  if (!last) return;
  const [path, before] = last, item = items.find(one => one.dataset.path === path);
  if (before) decided.set(path, before); else decided.delete(path);
  keep(); show(item); tell(); go(item);
});
document.getElementById("rest").addEventListener("change", event => document.body.classList.toggle("rest", event.target.checked));

const cell = text => /[",\n\r]/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text;
const save = () => {
  const own = items.filter(item => decided.has(item.dataset.path)).map(item => {
    const {action, label} = decided.get(item.dataset.path);
    return [item.dataset.path, item.dataset.given, action, label];
  });
  const lines = [...JSON.parse(bar.dataset.before), ...own].map(row => row.map(cell).join(","));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([["path,given,action,label", ...lines, ""].join("\n")], {type: "text/csv"}));
  link.download = "corrections.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};
document.getElementById("save").addEventListener("click", save);
document.addEventListener("keydown", event => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s") { event.preventDefault(); save(); }
});

try {
  for (const [path, found] of JSON.parse(localStorage.getItem(key) ?? "[]")) decided.set(path, found);
} catch { /* nothing was kept, or nothing may be */ }
items.forEach(show);
tell();
go(items.find(item => !decided.has(item.dataset.path)));
