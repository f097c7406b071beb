// The answer of a segmenter on a page: `tasks.segment.rows.row` of the classes of its pixels. `shown` says what a person sees.

const MOST_INPUT = 1 << 21; // pixels; above, `resnets predict` slides a window over the picture, and a page does not

function answer({outputs}, {labels}, own, input) {
  const mask = classes(outputs.data, labels.length, input, own), counts = labels.map(() => 0);
  for (const index of mask) counts[index]++;
  const order = [...counts.keys()].sort((a, b) => counts[b] - counts[a] || a - b).filter(index => counts[index]);
  const shares = order.map(index => ({label: labels[index], index, share: rounded(counts[index] / mask.length, 6)}));
  return {height: own.height, width: own.width, classes: shares, mask};
}

function shown({classes, mask, height, width}) {
  const bars = classes.map(({label, index, share}) => ({label, index, value: share}));
  return {title: bars[0].label, bars, mask: {indices: mask, height, width}};
}

// The class of each pixel of the picture, from logits (K, height, width) at the size of the input, linear between positions.
function classes(logits, num, input, own) {
  const plane = input.height * input.width, mask = new Uint8Array(own.height * own.width);
  const rows = places(input.height, own.height), columns = places(input.width, own.width);
  let at = 0;
  for (const [above, below, down] of rows) {
    for (const [left, right, across] of columns) {
      let best = 0, most = -Infinity;
      for (let k = 0, from = 0; k < num; k++, from += plane) {
        const upper = logits[from + above * input.width + left] * (1 - across) + logits[from + above * input.width + right] * across;
        const lower = logits[from + below * input.width + left] * (1 - across) + logits[from + below * input.width + right] * across;
        const logit = upper * (1 - down) + lower * down;
        if (logit > most) [best, most] = [k, logit];
      }
      mask[at++] = best;
    }
  }
  return mask;
}

// For each new position the two old ones that it lies between, and how far towards the second.
function places(before, after) {
  return Array.from({length: after}, (_, at) => {
    const middle = Math.max(0, ((at + 0.5) * before) / after - 0.5), first = Math.min(before - 1, Math.floor(middle));
    return [first, Math.min(before - 1, first + 1), before === after ? 0 : middle - first];
  });
}
