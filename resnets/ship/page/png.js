// PNG files, decoded here: a canvas would multiply colours by their transparency, and browsers read 16 bits and colour profiles
// each in its own way. Values come out as Pillow reads them.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}; // by colour type: grey, RGB, palette, grey and alpha, RGBA
// Adam7: first column and row of each pass, and the steps.
const PASSES = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

function isPng(bytes) {
  return SIGNATURE.every((value, at) => bytes[at] === value);
}

// -> {width, height, channels (1, 3 or 4), pixels (Uint8Array, channels last), orientation}
async function readPng(bytes, bitDepth, mostPixels) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const data = [];
  let head = null, palette = null, transparent = null, orientation = 1, at = 8;
  while (at + 12 <= bytes.length) {
    const length = view.getUint32(at), kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const content = bytes.subarray(at + 8, at + 8 + length);
    if (content.length < length || at + 12 + length > bytes.length) throw new Error("truncated");
    if (kind === "IHDR") head = header(content, mostPixels);
    else if (kind === "PLTE") palette = content;
    else if (kind === "tRNS") transparent = content;
    else if (kind === "eXIf") orientation = exifOrientation(content);
    else if (kind === "IDAT") data.push(content);
    else if (kind === "IEND") break;
    at += 12 + length;
  }
  if (!head || !data.length || (head.type === 3 && !palette)) throw new Error("a damaged PNG file");
  const raw = await inflated(data, "deflate");
  const samples = head.interlaced ? interlaced(raw, head) : unfiltered(raw, 0, head.width, head.height, head).samples;
  return {...coloured(samples, head, palette, transparent, bitDepth), width: head.width, height: head.height, orientation};
}

function header(content, mostPixels) {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const [bits, type, , , interlaced] = content.subarray(8);
  const head = {width: view.getUint32(0), height: view.getUint32(4), bits, type, interlaced, channels: CHANNELS[type]};
  checkSize(head.width, head.height, mostPixels);
  if (!head.channels || ![1, 2, 4, 8, 16].includes(bits) || (bits < 8 && head.channels > 1)) throw new Error("a damaged PNG file");
  return head;
}

async function inflated(parts, kind) {
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream(kind));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// The samples of one pass, Uint8Array or Uint16Array (height * width * channels), and where the next one begins.
function unfiltered(raw, start, width, height, {bits, channels}) {
  const step = Math.max(1, (bits * channels) >> 3), row = Math.ceil((width * channels * bits) / 8);
  if (start + height * (row + 1) > raw.length) throw new Error("truncated");
  const samples = new (bits === 16 ? Uint16Array : Uint8Array)(width * height * channels);
  let before = new Uint8Array(row);
  for (let y = 0; y < height; y++) {
    const filter = raw[start + y * (row + 1)], from = start + y * (row + 1) + 1;
    const line = raw.subarray(from, from + row);
    if (filter > 4) throw new Error("a damaged PNG file");
    for (let i = 0; filter && i < row; i++) {
      const left = i < step ? 0 : line[i - step], up = before[i], corner = i < step ? 0 : before[i - step];
      line[i] += filter === 1 ? left : filter === 2 ? up : filter === 3 ? (left + up) >> 1 : paeth(left, up, corner);
    }
    spread(line, samples.subarray(y * width * channels, (y + 1) * width * channels), bits);
    before = line;
  }
  return {samples, next: start + height * (row + 1)};
}

function paeth(left, up, corner) {
  const guess = left + up - corner, a = Math.abs(guess - left), b = Math.abs(guess - up), c = Math.abs(guess - corner);
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

function spread(line, samples, bits) {
  for (let i = 0; i < samples.length; i++) {
    if (bits === 8) samples[i] = line[i];
    else if (bits === 16) samples[i] = (line[2 * i] << 8) | line[2 * i + 1];
    else samples[i] = (line[(i * bits) >> 3] >> (8 - bits - ((i * bits) & 7))) & ((1 << bits) - 1);
  }
}

function interlaced(raw, head) {
  const {width, height, channels, bits} = head;
  const whole = new (bits === 16 ? Uint16Array : Uint8Array)(width * height * channels);
  let start = 0;
  for (const [left, top, right, down] of PASSES) {
    const wide = Math.ceil((width - left) / right), high = Math.ceil((height - top) / down);
    if (wide <= 0 || high <= 0) continue;
    const {samples, next} = unfiltered(raw, start, wide, high, head);
    start = next;
    for (let y = 0; y < high; y++) {
      for (let x = 0; x < wide; x++) {
        const to = ((top + y * down) * width + left + x * right) * channels, from = (y * wide + x) * channels;
        for (let channel = 0; channel < channels; channel++) whole[to + channel] = samples[from + channel];
      }
    }
  }
  return whole;
}

// 8 bits of each sample, and an alpha channel where something may be transparent.
function coloured(samples, {type, bits, channels}, palette, transparent, bitDepth) {
  const eight = inEightBits(samples, type, bits, channels, bitDepth), num = samples.length / channels;
  if (type === 4) return {channels: 4, pixels: mapped(num, 4, (i, c) => eight[2 * i + (c === 3 ? 1 : 0)])};
  if (type === 3) {
    const alpha = i => (i < transparent.length ? transparent[i] : 255);
    const colour = (i, c) => (c === 3 ? alpha(samples[i]) : palette[3 * samples[i] + c] || 0);
    return transparent ? {channels: 4, pixels: mapped(num, 4, colour)} : {channels: 3, pixels: mapped(num, 3, colour)};
  }
  if (transparent && type < 3 && bits < 16) { // one colour is transparent
    const key = Array.from({length: channels}, (_, c) => (transparent[2 * c] << 8) | transparent[2 * c + 1]);
    const isKey = i => key.every((value, c) => samples[i * channels + c] === value);
    return {channels: 4, pixels: mapped(num, 4, (i, c) => (c === 3 ? (isKey(i) ? 0 : 255) : eight[i * channels + (type === 0 ? 0 : c)]))};
  }
  return {channels, pixels: eight};
}

function mapped(num, channels, value) {
  const pixels = new Uint8Array(num * channels);
  for (let i = 0, at = 0; i < num; i++) for (let c = 0; c < channels; c++, at++) pixels[at] = value(i, c);
  return pixels;
}

// As `data.pictures.deep`: grey of 16 bits by the model's bit depth, colours by their upper byte unless the depth is smaller.
function inEightBits(samples, type, bits, channels, bitDepth) {
  if (bits < 8) return type === 3 ? samples : samples.map(value => (value * 255) / ((1 << bits) - 1));
  if (bits === 8) return samples;
  const white = 2 ** bitDepth - 1, byDepth = type === 0 || (type !== 4 && bitDepth < 16);
  if (byDepth) checkDepth(samples, channels, white, bitDepth);
  const eight = new Uint8Array(samples.length);
  for (let i = 0; i < eight.length; i++) {
    const isAlpha = channels === 4 && i % 4 === 3;
    eight[i] = byDepth && !isAlpha ? roundEven(Math.min(samples[i], white) * (255 / white)) : samples[i] >> 8;
  }
  return eight;
}

function checkDepth(samples, channels, white, bitDepth) {
  let beyond = 0, num = 0;
  samples.forEach((value, i) => { if (!(channels === 4 && i % 4 === 3)) { num++; beyond += value > white; } });
  if (beyond > 0.01 * num) throw new Error(`values beyond the ${bitDepth} bits that the model reads; rescale it`);
}

// The tag 0x0112 of the first directory of a TIFF block; 1 where there is none.
function exifOrientation(block) {
  if (block.length < 14) return 1;
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength), little = view.getUint16(0) === 0x4949;
  const start = view.getUint32(4, little);
  if (start + 2 > block.length) return 1;
  for (let entry = start + 2, n = view.getUint16(start, little); n > 0 && entry + 12 <= block.length; entry += 12, n--) {
    if (view.getUint16(entry, little) === 0x0112) return view.getUint16(entry + 8, little);
  }
  return 1;
}
