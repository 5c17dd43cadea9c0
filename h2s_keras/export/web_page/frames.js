// Which frames make a clip, and how a frame becomes what the network sees. The numbers are
// those of h2s_keras: data/sampling.py, data/crops.py and data/conversion.py.

const CENTRE_SCALE = 0.875;

/** Python's round(): halves go to the even neighbour. */
export function roundHalfEven(value) {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}

/** Frames from the first to the last one of a clip, both counted. */
export function clipSpan(model) {
  return (model.num_frames - 1) * model.frame_stride + 1;
}

/**
 * Frame numbers of the evenly spaced clips of a video.
 * @returns {number[][]} for each clip its frame numbers, each below `length`.
 */
export function clipIndices(model, length) {
  if (length < 2) throw new Error("The video has one frame and so no motion.");
  const { clips, num_frames: frames, frame_stride: stride, short } = model;
  const possible = Math.max(0, length - clipSpan(model)) + 1;
  const step = Math.floor(possible / clips);
  return Array.from({ length: clips }, (_, clip) => {
    const start = step ? clip * step : Math.floor((clip * possible) / clips);
    return Array.from({ length: frames }, (_, frame) => {
      const place = start + frame * stride;
      if (place < length) return place;
      if (short === "refuse") {
        throw new Error(`The video has ${length} frames; this model needs ${place + 1}.`);
      }
      return short === "hold" ? length - 1 : place % length;
    });
  });
}

/** [height, width] that whole frames are resized to before the crop. */
export function decodedSize([height, width], size) {
  if (Array.isArray(size)) return size;
  const scale = Math.min(1, size / Math.min(height, width));
  return [height, width].map((side) => Math.max(1, roundHalfEven(side * scale)));
}

/** [top, left, height, width] of the centre crop; all of a frame of the image's size. */
export function centreCropBox([height, width], [imageHeight, imageWidth]) {
  if (height === imageHeight && width === imageWidth) return [0, 0, height, width];
  const fit = Math.min(height / imageHeight, width / imageWidth);
  const side = (whole, image) =>
    Math.min(whole, Math.max(1, roundHalfEven(image * fit * CENTRE_SCALE)));
  const box = [side(height, imageHeight), side(width, imageWidth)];
  return [Math.floor((height - box[0]) / 2), Math.floor((width - box[1]) / 2), ...box];
}

/** Of every target sample: the first source sample, and the weights from there on. */
function triangleFilter(source, target) {
  const scale = source / target;
  const reach = Math.max(scale, 1);
  return Array.from({ length: target }, (_, index) => {
    const centre = (index + 0.5) * scale - 0.5;
    const first = Math.max(0, Math.ceil(centre - reach));
    const last = Math.min(source - 1, Math.floor(centre + reach));
    const weights = [];
    for (let place = first; place <= last; place++) {
      weights.push(Math.max(0, 1 - Math.abs(place - centre) / reach));
    }
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/**
 * Resizes RGB pixels, bilinear, averaging where it shrinks.
 * @param {Uint8Array} pixels height * width * 3.
 * @returns {Uint8Array} of the new size; `pixels` itself where the size is right already.
 */
export function resize(pixels, [height, width], [newHeight, newWidth]) {
  if (height === newHeight && width === newWidth) return pixels;
  const rows = new Float32Array(height * newWidth * 3);
  triangleFilter(width, newWidth).forEach(({ first, weights }, x) => {
    for (let y = 0; y < height; y++) {
      const from = (y * width + first) * 3;
      let red = 0, green = 0, blue = 0;
      for (let tap = 0; tap < weights.length; tap++) {
        red += weights[tap] * pixels[from + 3 * tap];
        green += weights[tap] * pixels[from + 3 * tap + 1];
        blue += weights[tap] * pixels[from + 3 * tap + 2];
      }
      rows.set([red, green, blue], (y * newWidth + x) * 3);
    }
  });
  const result = new Uint8Array(newHeight * newWidth * 3);
  const length = newWidth * 3;
  triangleFilter(height, newHeight).forEach(({ first, weights }, y) => {
    for (let place = 0; place < length; place++) {
      let sum = 0.5; // so that cutting off rounds
      for (let tap = 0; tap < weights.length; tap++) {
        sum += weights[tap] * rows[(first + tap) * length + place];
      }
      result[y * length + place] = sum;
    }
  });
  return result;
}

function crop(pixels, width, [top, left, height, newWidth]) {
  const result = new Uint8Array(height * newWidth * 3);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * width + left) * 3;
    result.set(pixels.subarray(from, from + newWidth * 3), y * newWidth * 3);
  }
  return result;
}

/** RGB pixels of a whole frame as the network sees it: resized, cropped, resized. */
export function fitFrame(pixels, size, model) {
  const decoded = decodedSize(size, model.decode_size);
  const whole = resize(pixels, size, decoded);
  const box = centreCropBox(decoded, model.image_size);
  return resize(crop(whole, decoded[1], box), box.slice(2), model.image_size);
}

// The longest short side that pixels are read at; beyond it the browser shrinks them first.
const LARGEST = 720;

/** Reads frames of a <video> as RGB pixels of the network's size. */
export class FrameGrabber {
  constructor(model) {
    this.model = model;
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
  }

  /** @returns {Uint8Array} image height * width * 3 of what the video shows now. */
  grab(video) {
    const { videoWidth, videoHeight } = video;
    const scale = Math.min(1, LARGEST / Math.min(videoWidth, videoHeight));
    const width = Math.max(1, Math.round(videoWidth * scale));
    const height = Math.max(1, Math.round(videoHeight * scale));
    if (this.canvas.width !== width || this.canvas.height !== height) {
      Object.assign(this.canvas, { width, height });
      this.context.imageSmoothingQuality = "high";
    }
    this.context.drawImage(video, 0, 0, width, height);
    const rgba = this.context.getImageData(0, 0, width, height).data;
    const rgb = new Uint8Array(width * height * 3);
    for (let from = 0, to = 0; from < rgba.length; from += 4) {
      rgb[to++] = rgba[from];
      rgb[to++] = rgba[from + 1];
      rgb[to++] = rgba[from + 2];
    }
    return fitFrame(rgb, [height, width], this.model);
  }
}
