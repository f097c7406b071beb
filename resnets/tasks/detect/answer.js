// The answer of a detector on a page: `tasks.detect.rows.row` of the objects that its network found. `shown` says what a person
// sees of it.

const MOST_INPUT = 1 << 23; // pixels; a browser gives a network four gigabytes

function answer({xyxy, labels: indices, scores}, {labels, decision}, own, input) {
  const least = decision.threshold ?? 0.5, scale = [own.width / input.width, own.height / input.height];
  const objects = Array.from(scores.data, (score, at) => {
    const index = Number(indices.data[at]), sides = Array.from(xyxy.data.subarray(4 * at, 4 * at + 4));
    const box = sides.map((side, i) => rounded(Math.fround(side * scale[i % 2]), 2));
    return {label: labels[index], index, score: rounded(score, 6), exact: score, box};
  });
  const kept = objects.filter(({exact}) => exact >= Math.fround(least)).map(({exact, ...object}) => object);
  return {height: own.height, width: own.width, objects: kept};
}

function shown({objects}) {
  const counts = new Map();
  for (const {label} of objects) counts.set(label, (counts.get(label) || 0) + 1);
  const title = [...counts].map(([label, num]) => `${label} ${num}`).join(", ") || "nothing";
  const boxes = objects.map(({label, index, score, box}) => ({label, index, value: score, box}));
  return {title, bars: boxes, boxes};
}
