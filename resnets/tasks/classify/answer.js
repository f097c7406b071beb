// The answer of a classifier on a page: `tasks.classify.rows.row` of its logits. `shown` says what a person sees of it.

const MOST_INPUT = Infinity;

function answer({outputs}, {labels, decision}) {
  const logits = Array.from(outputs.data), order = [...logits.keys()].sort((a, b) => logits[b] - logits[a] || a - b);
  const probabilities = softmax(logits.map(logit => logit / (decision.temperature ?? 1)));
  const top = order.slice(0, 5).map(index => ({label: labels[index], index, probability: rounded(probabilities[index], 6)}));
  const score = unlikeness(logits, decision.unknown?.reference), plain = softmax(logits), likeliest = order[0];
  const row = {...top[0], top, answer: labels[likeliest], ood_score: rounded(score, 4)};
  const point = decision.operating_point;
  if (point) {
    const positive = labels.indexOf(decision.positive);
    row.positive = probabilities[positive] >= point.threshold;
    row.answer = labels[row.positive ? positive : order.find(index => index !== positive)];
  }
  if (decision.sets?.limit != null) {
    row.set = order.filter(index => plain[index] >= decision.sets.limit || index === likeliest).map(index => labels[index]);
  }
  const doubt = plain.reduce((sum, each, index) => (index === likeliest ? sum : sum + each), 0);
  if (doubt > (decision.abstain?.limit ?? Infinity)) row.answer = "unsure";
  if (score > (decision.unknown?.limit ?? Infinity)) row.answer = "unknown";
  return row;
}

function shown(row) {
  const title = row.set && row.answer === row.label ? row.set.join(" | ") : row.answer;
  return {title, bars: row.top.map(({label, index, probability}) => ({label, index, value: probability}))};
}

function softmax(logits) {
  const most = Math.max(...logits), weights = logits.map(logit => Math.exp(logit - most));
  const sum = weights.reduce((total, each) => total + each, 0);
  return weights.map(each => each / sum);
}

// `measures.ood.unlikeness`: the energy and the distance to the nearest class, in units of their tails; or the energy alone.
function unlikeness(logits, reference) {
  const most = Math.max(...logits), energy = -most - Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
  if (!reference) return energy;
  const distances = reference.means.map(mean => {
    const rest = logits.map((logit, i) => logit - mean[i]);
    return reference.precision.reduce((sum, row, i) => sum + rest[i] * row.reduce((part, each, j) => part + each * rest[j], 0), 0);
  });
  return [energy, Math.min(...distances)].reduce((sum, part, i) => sum + (part - reference.centre[i]) / reference.tail[i], 0);
}
