// The answer of a grader on a page: `tasks.grade.rows.row` of its outputs. `shown` says what a person sees of it.

const MOST_INPUT = Infinity;

function answer({outputs}, {labels, decision, head}) {
  const found = Array.from(outputs.data), isOrdinal = labels.length > 1, chances = isOrdinal ? probabilities(found) : [];
  const value = head.loss === "corn"
    ? chances.reduce((sum, chance, i) => sum + chance * Number(labels[i]), 0)
    : unscaled(found[0] * (head.std ?? 1) + (head.mean ?? 0), head.scale);
  const row = {value: Number(value.toPrecision(6))};
  if ("half_width" in decision) {
    const bounds = [-1, 1].map(sign => scaled(value, decision.scale) + sign * decision.half_width);
    const within = bound => Math.max(Number(labels[0]), Math.min(Number(labels[labels.length - 1]), bound));
    [row.low, row.high] = bounds.map(bound => Number((isOrdinal ? within(bound) : unscaled(bound, decision.scale)).toPrecision(6)));
  }
  if (isOrdinal) {
    let reached = 0;
    row.grade = Number(labels[chances.slice(0, -1).filter(chance => 1 - (reached += chance) > 0.5).length]);
    row.probabilities = Object.fromEntries(labels.map((label, i) => [label, rounded(chances[i], 6)]));
  }
  return row;
}

function shown(row) {
  const bounds = "low" in row ? ` (${row.low} to ${row.high})` : "";
  const bars = Object.entries(row.probabilities || {}).map(([label, value], index) => ({label, index, value}));
  return {title: ("grade" in row ? `${row.grade}, expected ${row.value}` : `${row.value}`) + bounds, bars};
}

// CORN: the product of the first k conditional probabilities is that of being at grade k or above.
function probabilities(logits) {
  let product = 1;
  const reached = logits.map((logit, k) => (product *= k ? 1 / (1 + Math.exp(-logit)) : 1));
  return reached.map((chance, k) => chance - (reached[k + 1] ?? 0));
}

function scaled(value, scale) { return scale === "log" ? Math.log1p(value) : value; }

function unscaled(value, scale) { return scale === "log" ? Math.expm1(Math.max(0, Math.min(80, value))) : value; }
