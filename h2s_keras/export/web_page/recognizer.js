// The network: loaded, checked against the answer that came with it, asked for clips.

const TOLERANCE = 1e-3; // of logits and of flow in pixels, relative to values above 1

export function logSoftmax(logits) {
  const largest = Math.max(...logits);
  const sum = logits.reduce((total, value) => total + Math.exp(value - largest), 0);
  return Array.from(logits, (value) => value - largest - Math.log(sum));
}

export const softmax = (logits) => logSoftmax(logits).map(Math.exp);

/** The clip of `check_clip` in h2s_keras/export/web.py: noise that moves to the right. */
export function checkClip({ num_frames: frames, image_size: [height, width] }) {
  const pixels = new Uint8Array(frames * height * width * 3);
  let place = 0;
  for (let time = 0; time < frames; time++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const cell = ((y >> 2) * 1009 + ((x + frames - time) >> 2)) * 3 + 1;
        for (let channel = 0; channel < 3; channel++) {
          pixels[place++] = Math.imul(cell + channel, 2654435761) >>> 24;
        }
      }
    }
  }
  return pixels;
}

export class Recognizer {
  /** Loads the network, on WebGPU where that gives the right numbers, else on WebAssembly. */
  static async load() {
    const response = await fetch(new URL("model.json", import.meta.url));
    if (!response.ok) throw new Error(`model.json: ${response.status} ${response.statusText}`);
    const model = await response.json();
    const notes = [];
    const gpu = await navigator.gpu?.requestAdapter().catch(() => null);
    for (const provider of gpu && model.runtime.webgpu ? ["webgpu", "wasm"] : ["wasm"]) {
      const recognizer = new Recognizer(model, provider);
      try {
        const { threads } = await recognizer.ask("load", { provider, model });
        await recognizer.check();
        return Object.assign(recognizer, { threads, notes });
      } catch (error) {
        recognizer.worker.terminate();
        notes.push(`${provider}: ${error.message}`);
      }
    }
    throw new Error(`The network cannot be computed here: ${notes.join("; ")}`);
  }

  constructor(model, provider) {
    this.model = model;
    this.provider = provider;
    this.waiting = new Map();
    this.count = 0;
    this.last = Promise.resolve();
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data: { id, result, error } }) => {
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      if (error === undefined) resolve(result);
      else reject(new Error(error));
    };
    this.worker.onerror = (event) => {
      const error = new Error(event.message ?? "its script cannot be loaded");
      for (const { reject } of this.waiting.values()) reject(error);
      this.waiting.clear();
    };
  }

  /** In words, what computes the network. */
  get place() {
    if (this.provider === "webgpu") return "WebGPU";
    return `WebAssembly, ${this.threads} ${this.threads === 1 ? "thread" : "threads"}`;
  }

  ask(task, values) {
    return new Promise((resolve, reject) => {
      const id = this.count++;
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, task, ...values });
    });
  }

  /**
   * What the network says of one clip.
   * @param {Uint8Array} pixels frames * height * width * 3, RGB.
   * @returns {Promise<{logits: Float32Array, probabilities: number[], milliseconds: number,
   *   flow: {values: Float32Array, height: number, width: number}}>} the flow is that of the
   *   middle pair of frames, x and y in pixels of the clip.
   */
  answerClip(pixels) {
    const answer = this.last.then(async () => {
      const result = await this.ask("run", { pixels });
      return { ...result, probabilities: softmax(result.logits) };
    });
    this.last = answer.catch(() => {});
    return answer;
  }

  /** Compares the answer to a known clip with that of the network before its export. */
  async check() {
    const { logits, flow } = await this.answerClip(checkClip(this.model));
    const count = flow.values.length / 2;
    const mean = [0, 0];
    flow.values.forEach((value, index) => (mean[index % 2] += value / count));
    const { logits: wanted, mean_flow: wantedFlow } = this.model.check;
    for (const [what, values, expected] of [
      ["logits", logits, wanted],
      ["flow", mean, wantedFlow],
    ]) {
      const scale = Math.max(1, ...expected.map(Math.abs));
      const error = Math.max(...expected.map((value, i) => Math.abs(value - values[i]))) / scale;
      if (!(error < TOLERANCE)) {
        throw new Error(`other ${what} than before the export (by ${error.toPrecision(2)})`);
      }
    }
  }

  /**
   * Probabilities of the whole video, as `h2s predict` computes them.
   * @param {import("./video_reader.js").VideoReader} reader opened on a file.
   * @param progress as of `VideoReader.clips`.
   * @returns {Promise<number[]|null>} null where `progress` stopped it.
   */
  async answerVideo(reader, progress) {
    const total = this.model.classes.map(() => 0);
    let shares = 0;
    for await (const { pixels, share } of reader.clips(progress)) {
      const { logits } = await this.answerClip(pixels);
      logSoftmax(logits).forEach((value, index) => (total[index] += share * value));
      shares += share;
    }
    return shares > 1 - 1e-6 ? softmax(total) : null;
  }
}
