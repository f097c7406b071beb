// The answer of a tagger on a page: `tasks.tag.rows.row` of its logits. `shown` says what a person sees of it.

const MOST_INPUT = Infinity;

function answer({outputs}, {labels, decision}) {
  const found = Array.from(outputs.data, logit => 1 / (1 + Math.exp(-logit)));
  const least = labels.map(label => decision.thresholds?.[label] ?? 0.5);
  const order = [...found.keys()].sort((a, b) => found[b] - found[a] || a - b).filter(index => found[index] >= least[index]);
  return {labels: order.map(index => ({label: labels[index], index, probability: rounded(found[index], 6)}))};
}

function shown(row) {
  const bars = row.labels.map(({label, index, probability}) => ({label, index, value: probability}));
  return {title: row.labels.map(each => each.label).join(", ") || "none", bars};
}
