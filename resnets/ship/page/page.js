// The page: opens the model, takes pictures, shows answers. What is shown goes in as text, never as HTML; nothing is fetched.

const $ = id => document.getElementById(id);
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6fd1", "#a3a800"];
const MOST_BARS = 10;
const model = JSON.parse($("about").textContent);
const rows = new Map(), queue = []; // rows: of each card its answer
let session = null, busy = false;

function rounded(value, digits) { return Number(value.toFixed(digits)); }

function element(name, text, attributes = {}) {
  const made = ["svg", "rect", "title"].includes(name) ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  if (text !== null) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// --- the network ---

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const bytes = new Uint8Array((text.length / 4) * 3 - (text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0)), part = 1 << 20;
  for (let start = 0, at = 0; start < text.length; start += part) {
    const piece = atob(text.slice(start, start + part));
    for (let i = 0; i < piece.length; i++) bytes[at++] = piece.charCodeAt(i);
  }
  return bytes;
}

async function unpacked(id) {
  const bytes = fromBase64($(id).textContent);
  $(id).remove(); // its memory is needed
  return inflated([bytes], "gzip");
}

async function open() {
  if (typeof WebAssembly !== "object" || typeof DecompressionStream !== "function") {
    throw new Error("this browser is too old, or forbids WebAssembly; a current Chrome, Firefox, Edge or Safari opens it");
  }
  const {env, InferenceSession} = globalThis.ort;
  env.wasm.numThreads = 1; // a page that is opened as a file may have no threads
  env.wasm.proxy = false;
  env.wasm.wasmBinary = (await unpacked("runtime")).buffer;
  session = await InferenceSession.create(await unpacked("network"), {executionProviders: ["wasm"], graphOptimizationLevel: "all"});
}

// The row of `resnets predict` for a picture file, the picture, and what that took.
async function predicted(file) {
  const start = performance.now();
  const picture = await readPicture(file, model.preprocess, model.most_pixels), input = fitted(picture, model.preprocess, model.fill);
  if (input.width * input.height > MOST_INPUT) {
    throw new Error(`${input.width} x ${input.height} pixels are more than this page takes at once; make it smaller`);
  }
  const read = performance.now();
  const pixels = new globalThis.ort.Tensor("uint8", input.pixels, [1, input.height, input.width, input.channels]);
  const row = answer(await session.run({pixels}), model, picture, input);
  const times = {read: read - start, network: performance.now() - read};
  return {row, picture, times};
}

// --- cards ---

function add(files) {
  for (const file of files) {
    const card = element("article", null, {"aria-busy": "true"});
    const head = element("header", null), remove = element("button", "×", {type: "button", "aria-label": `Remove ${file.name}`});
    head.append(element("h2", file.name), remove);
    card.append(head, element("p", "waiting …", {class: "answer"}));
    remove.onclick = () => forget(card);
    $("cards").prepend(card);
    queue.push([file, card]);
  }
  if (!busy) work();
}

async function work() {
  busy = true;
  while (queue.length) {
    const [file, card] = queue.shift();
    card.querySelector(".answer").textContent = "looking …";
    $("said").textContent = `${file.name}, ${queue.length} more to come`;
    await new Promise(next => setTimeout(next, 20)); // so that it is seen
    if (!card.isConnected) continue;
    try {
      const {row, picture, times} = await predicted(file);
      const {mask, ...plain} = row;
      rows.set(card, {path: file.name, ...plain});
      card.querySelector(".answer").replaceWith(...answered(row, picture, times));
      $("said").textContent = `${file.name}: ${shown(row).title}`;
    } catch (error) {
      rows.set(card, {path: file.name, error: error.message});
      Object.assign(card.querySelector(".answer"), {className: "warn", textContent: error.message});
      $("said").textContent = `${file.name}: ${error.message}`;
    }
    card.setAttribute("aria-busy", "false");
    $("tools").hidden = false;
  }
  busy = false;
}

function answered(row, picture, times) {
  const {title, bars, boxes, mask} = shown(row), list = element("ul", null, {class: "bars"});
  const holder = element("div", null, {class: "picture"});
  holder.append(drawn(picture));
  if (mask) holder.append(masked(mask));
  if (boxes) holder.append(framed(boxes, picture));
  for (const each of bars.slice(0, MOST_BARS)) list.append(bar(each, boxes || mask));
  const more = bars.length > MOST_BARS ? [element("p", `and ${bars.length - MOST_BARS} more`, {class: "faint"})] : [];
  const ms = value => (value < 10 ? value.toFixed(1) : value.toFixed(0));
  const took = `${picture.width} x ${picture.height}; read in ${ms(times.read)} ms, answered in ${ms(times.network)} ms`;
  return [holder, element("p", title, {class: "answer"}), list, ...more, element("p", took, {class: "faint"})];
}

function bar({label, index, value}, coloured) {
  const item = element("li", null), percent = `${(100 * value).toFixed(1)} %`, name = element("span", null);
  if (coloured) {
    const sample = element("svg", null, {viewBox: "0 0 1 1", "aria-hidden": "true"});
    sample.append(element("rect", null, {width: 1, height: 1, fill: colour(index)}));
    name.append(sample);
  }
  name.append(label);
  item.append(name, element("span", percent), element("meter", percent, {value, min: 0, max: 1, "aria-label": label}));
  return item;
}

function colour(index) { return COLOURS[index % COLOURS.length]; }

// The picture as the network had it, upright, in a canvas of at most so many pixels a side.
function drawn(picture, most = 1024) {
  const scale = Math.min(1, most / Math.max(picture.width, picture.height));
  const [width, height] = [picture.width, picture.height].map(side => Math.max(1, Math.round(side * scale)));
  const colours = new Uint8ClampedArray(width * height * 4), step = picture.channels === 1 ? 0 : 1;
  for (let y = 0, at = 0; y < height; y++) {
    const row = Math.floor((y * picture.height) / height) * picture.width;
    for (let x = 0; x < width; x++, at += 4) {
      const from = (row + Math.floor((x * picture.width) / width)) * picture.channels;
      for (let c = 0; c < 3; c++) colours[at + c] = picture.pixels[from + c * step];
      colours[at + 3] = 255;
    }
  }
  return canvas(colours, width, height, {role: "img", "aria-label": "the picture"});
}

function masked({indices, width, height}) {
  const colours = new Uint8ClampedArray(width * height * 4);
  const parts = COLOURS.map(each => [1, 3, 5].map(at => parseInt(each.slice(at, at + 2), 16)));
  indices.forEach((index, i) => colours.set([...parts[index % parts.length], 255], 4 * i));
  return canvas(colours, width, height, {class: "over", role: "img", "aria-label": "the class of each pixel, in colours"});
}

function canvas(colours, width, height, attributes) {
  const made = element("canvas", null, {width, height, ...attributes});
  made.getContext("2d").putImageData(new ImageData(colours, width, height), 0, 0);
  return made;
}

function framed(boxes, picture) {
  const overlay = element("svg", null, {class: "over", viewBox: `0 0 ${picture.width} ${picture.height}`, preserveAspectRatio: "none", role: "img", "aria-label": `${boxes.length} boxes`});
  for (const {label, index, value, box: [x, y, right, bottom]} of boxes) {
    const rect = element("rect", null, {x, y, width: Math.max(0, right - x), height: Math.max(0, bottom - y), stroke: colour(index)});
    rect.append(element("title", `${label} ${(100 * value).toFixed(1)} %`));
    overlay.append(rect);
  }
  return overlay;
}

function forget(card) {
  rows.delete(card);
  card.remove();
  $("tools").hidden = !rows.size;
}

// --- files, paste, drop, camera ---

$("choose").onclick = () => $("files").click();
$("files").onchange = $("capture").onchange = event => { add([...event.target.files]); event.target.value = ""; };
$("clear").onclick = () => { queue.length = 0; [...$("cards").children].forEach(forget); $("choose").focus(); };
$("save").onclick = () => { // as `resnets predict --format json` writes them, the first picture first
  const lines = [...rows.values()].map(row => JSON.stringify(row) + "\n");
  const link = element("a", null, {download: "answers.jsonl"});
  link.href = URL.createObjectURL(new Blob(lines, {type: "application/x-ndjson"}));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
};
addEventListener("dragover", event => { event.preventDefault(); $("drop").classList.add("over"); });
addEventListener("dragleave", event => { if (!event.relatedTarget) $("drop").classList.remove("over"); });
addEventListener("drop", event => { event.preventDefault(); $("drop").classList.remove("over"); if (session) add([...event.dataTransfer.files]); });
addEventListener("paste", event => { if (session) add([...event.clipboardData.files]); });

let stream = null;
function close() {
  if (stream) stream.getTracks().forEach(track => track.stop());
  stream = null;
  if ($("camera").open) $("camera").close();
}
$("shoot").onclick = async () => {
  if (!navigator.mediaDevices || matchMedia("(pointer: coarse)").matches) { $("capture").click(); return; } // a phone has its own
  try {
    stream = await navigator.mediaDevices.getUserMedia({video: true});
  } catch (error) {
    $("said").textContent = `no camera (${error.message})`;
    return;
  }
  $("video").srcObject = stream;
  $("camera").showModal();
  $("take").focus();
};
$("take").onclick = () => {
  const {videoWidth: width, videoHeight: height} = $("video"), made = element("canvas", null, {width, height});
  made.getContext("2d").drawImage($("video"), 0, 0);
  made.toBlob(blob => { add([new File([blob], "photograph.png", {type: "image/png"})]); close(); }, "image/png");
};
$("cancel").onclick = $("camera").oncancel = close;

try {
  await open();
  $("choose").disabled = $("shoot").disabled = false;
  $("said").textContent = "Ready.";
} catch (error) {
  Object.assign($("said"), {className: "warn", textContent: `The model cannot be opened here: ${error.message}`});
}
