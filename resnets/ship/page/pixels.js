// From a file to the network's input, as `resnets.data.pictures` does it: upright, 8 bits, transparency over white, grey or RGB,
// resized by Pillow's own arithmetic. A picture here is {width, height, channels, pixels}, channels last.

const STRIPE = 1 << 20; // pixels that are taken from a canvas at once: phones have small canvases
const BITS = 22; // of the fraction of Pillow's integer coefficients for 8 bits

function checkSize(width, height, mostPixels) {
  if (!width || !height) throw new Error("has no pixels");
  if (width * height > mostPixels) throw new Error(`${width} x ${height} pixels are more than the ${mostPixels.toLocaleString("en")} that are read; make it smaller`);
}

async function readPicture(file, {in_chans, bit_depth = 16}, mostPixels) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (!bytes.length) throw new Error("is empty");
  const found = isPng(bytes) ? await readPng(bytes, bit_depth, mostPixels) : await decoded(file, mostPixels);
  return upright(converted(found, in_chans), found.orientation || 1);
}

// What the browser decodes, turned upright by it; colour profiles are left alone, as Pillow leaves them.
async function decoded(file, mostPixels) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, {colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: "from-image"});
  } catch {
    throw new Error("not a picture that this browser can read; save it as PNG or JPEG");
  }
  const {width, height} = bitmap;
  checkSize(width, height, mostPixels);
  const rows = Math.max(1, Math.min(height, Math.floor(STRIPE / width)));
  const canvas = Object.assign(document.createElement("canvas"), {width, height: rows});
  const context = canvas.getContext("2d", {willReadFrequently: true});
  const pixels = new Uint8Array(width * height * 4);
  for (let top = 0; top < height; top += rows) {
    context.clearRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, -top);
    const part = context.getImageData(0, 0, width, Math.min(rows, height - top)).data;
    pixels.set(part, top * width * 4);
  }
  bitmap.close();
  return {width, height, channels: 4, pixels};
}

// Over white, then grey or RGB, in Pillow's integers.
function converted({width, height, channels, pixels}, wanted) {
  if (channels === wanted) return {width, height, channels, pixels};
  const num = width * height, out = new Uint8Array(num * wanted), step = channels === 1 ? 0 : 1;
  for (let i = 0, from = 0; i < num; i++, from += channels) {
    const alpha = channels === 4 ? pixels[from + 3] : 255;
    const red = overWhite(pixels[from], alpha), green = overWhite(pixels[from + step], alpha), blue = overWhite(pixels[from + 2 * step], alpha);
    if (wanted === 1) out[i] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
    else { out[3 * i] = red; out[3 * i + 1] = green; out[3 * i + 2] = blue; }
  }
  return {width, height, channels: wanted, pixels: out};
}

function overWhite(value, alpha) {
  if (alpha === 255) return value;
  const sum = value * alpha * 128 + 255 * (255 - alpha) * 128 + 128 * 128;
  return alpha ? (((sum >> 8) + sum) >> 8) >> 7 : 255;
}

// By the EXIF orientation, 1 to 8: where each pixel of the upright picture comes from.
function upright({width, height, channels, pixels}, orientation) {
  if (!(orientation >= 2 && orientation <= 8)) return {width, height, channels, pixels};
  const turned = orientation > 4, wide = turned ? height : width, high = turned ? width : height;
  const out = new Uint8Array(pixels.length);
  for (let y = 0; y < high; y++) {
    for (let x = 0; x < wide; x++) {
      let [u, v] = turned ? [y, x] : [x, y];
      if ([2, 3, 7, 8].includes(orientation)) u = width - 1 - u;
      if ([3, 4, 6, 7].includes(orientation)) v = height - 1 - v;
      const from = (v * width + u) * channels, to = (y * wide + x) * channels;
      for (let c = 0; c < channels; c++) out[to + c] = pixels[from + c];
    }
  }
  return {width: wide, height: high, channels, pixels: out};
}

// --- to the size of the input: data.pictures.resize.fit_image and to_array ---

function fitted(picture, preprocess, fill) {
  const [height, width] = preprocess.size;
  if (preprocess.resize === "keep") return picture;
  if (preprocess.resize === "shorter") {
    const scale = Math.min(height / Math.min(picture.height, picture.width), width / Math.max(picture.height, picture.width));
    return resized(picture, Math.max(1, roundEven(picture.width * scale)), Math.max(1, roundEven(picture.height * scale)), preprocess);
  }
  if (preprocess.resize === "squash") return resized(picture, width, height, preprocess);
  if (preprocess.resize === "pad") {
    const scale = Math.min(width / picture.width, height / picture.height);
    const side = (length, most) => Math.max(1, Math.min(most, roundEven(length * scale)));
    return padded(resized(picture, side(picture.width, width), side(picture.height, height), preprocess), width, height, fill);
  }
  const large = covering(picture, whole(width / preprocess.crop_pct), whole(height / preprocess.crop_pct), preprocess);
  return cropped(large, roundEven((large.width - width) / 2), roundEven((large.height - height) / 2), width, height);
}

function covering(picture, width, height, preprocess) {
  const longest = 4 * Math.min(picture.width, picture.height);
  const wide = Math.min(picture.width, longest), high = Math.min(picture.height, longest);
  const part = cropped(picture, (picture.width - wide) >> 1, (picture.height - high) >> 1, wide, high);
  const scale = Math.max(width / wide, height / high);
  return resized(part, Math.max(width, whole(wide * scale)), Math.max(height, whole(high * scale)), preprocess);
}

function whole(length) { return Math.trunc(length + 1e-6); }

function roundEven(value) { // as Python rounds
  const below = Math.floor(value), rest = value - below;
  return rest < 0.5 ? below : rest > 0.5 ? below + 1 : below + (below & 1);
}

function cropped({width, height, channels, pixels}, left, top, wide, high) {
  if (wide === width && high === height) return {width, height, channels, pixels};
  const out = new Uint8Array(wide * high * channels);
  for (let y = 0; y < high; y++) {
    const from = ((top + y) * width + left) * channels;
    out.set(pixels.subarray(from, from + wide * channels), y * wide * channels);
  }
  return {width: wide, height: high, channels, pixels: out};
}

function padded({width, height, channels, pixels}, wide, high, fill) {
  const out = new Uint8Array(wide * high * channels), left = (wide - width) >> 1, top = (high - height) >> 1;
  for (let i = 0; i < out.length; i++) out[i] = fill[i % fill.length];
  for (let y = 0; y < height; y++) {
    out.set(pixels.subarray(y * width * channels, (y + 1) * width * channels), ((top + y) * wide + left) * channels);
  }
  return {width: wide, height: high, channels, pixels: out};
}

// --- Pillow's resampling: two passes, antialiased, with integer coefficients and 8 bits in between ---

const FILTERS = {
  bilinear: [1, x => (x < 0 ? 1 + x : 1 - x)],
  bicubic: [2, x => { // a = -0.5
    const t = Math.abs(x);
    return t < 1 ? ((1.5 * t - 2.5) * t) * t + 1 : t < 2 ? (((t - 5) * t + 8) * t - 4) * -0.5 : 0;
  }],
};

function resized(picture, width, height, {interpolation: name, rows_first}) {
  const passes = [[picture.width !== width, each => across(each, width, name)], [picture.height !== height, each => down(each, height, name)]];
  const lost = picture.height - height; // Pillow from 13 on begins with the rows where these become much fewer
  if (rows_first && lost > 0 && lost > 2 * (picture.width - width)) passes.reverse();
  return passes.reduce((found, [needed, pass]) => (needed ? pass(found) : found), picture);
}

// For each position of the result the first source position and the coefficients from there on.
function coefficients(before, after, name) {
  const [radius, filter] = FILTERS[name], scale = before / after, stretch = Math.max(1, scale), support = radius * stretch;
  return Array.from({length: after}, (_, at) => {
    const centre = (at + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5)), end = Math.min(before, Math.trunc(centre + support + 0.5));
    const weights = Array.from({length: end - first}, (_, i) => weight(filter, radius, (i + first - centre + 0.5) * (1 / stretch)));
    const sum = weights.reduce((total, each) => total + each, 0);
    const integers = weights.map(each => Math.trunc((sum ? each / sum : each) * 2 ** BITS + (each < 0 ? -0.5 : 0.5)));
    return [first, Int32Array.from(integers)];
  });
}

function weight(filter, radius, x) { return Math.abs(x) < radius ? filter(x) : 0; }

function clipped(sum) {
  const value = sum >> BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

function across({width, height, channels, pixels}, wide, name) {
  const out = new Uint8Array(wide * height * channels);
  coefficients(width, wide, name).forEach(([first, weights], x) => {
    for (let y = 0; y < height; y++) {
      for (let c = 0; c < channels; c++) {
        let sum = 1 << (BITS - 1), at = (y * width + first) * channels + c;
        for (let i = 0; i < weights.length; i++, at += channels) sum += pixels[at] * weights[i];
        out[(y * wide + x) * channels + c] = clipped(sum);
      }
    }
  });
  return {width: wide, height, channels, pixels: out};
}

function down({width, height, channels, pixels}, high, name) {
  const row = width * channels, out = new Uint8Array(row * high);
  coefficients(height, high, name).forEach(([first, weights], y) => {
    for (let x = 0; x < row; x++) {
      let sum = 1 << (BITS - 1), at = first * row + x;
      for (let i = 0; i < weights.length; i++, at += row) sum += pixels[at] * weights[i];
      out[y * row + x] = clipped(sum);
    }
  });
  return {width, height: high, channels, pixels: out};
}
