// Frames of a video file by their number, found by seeking.

import { FrameGrabber, clipIndices } from "./frames.js";

// Seconds: time stamps are rounded to a tick of a container, a millisecond in WebM.
const HALF_TICK = 0.0005;
const SEEK_TIMEOUT = 10000; // milliseconds

/** Opens a <video> on a file and waits until its size and duration are known. */
export function openVideo(video, file) {
  return new Promise((resolve, reject) => {
    const address = URL.createObjectURL(file);
    const settle = () => {
      video.onloadeddata = video.onerror = null;
      // What has a size is playable; an unplayable codec loads as sound without a picture.
      if (!video.error && video.videoWidth > 0) return resolve(address);
      URL.revokeObjectURL(address);
      const why = video.error?.message ? ` (${video.error.message})` : "";
      reject(
        new Error(
          `${file.name ?? "The file"} cannot be played by this browser${why}. ` +
            "MP4 with H.264 and WebM play in most.",
        ),
      );
    };
    video.onloadeddata = video.onerror = settle;
    video.src = address;
    video.load();
  });
}

/** Reads a file as `h2s predict` does: at the rate of the model, frame by number. */
export class VideoReader {
  /**
   * @param {object} model what model.json holds.
   * @param {HTMLVideoElement} video in the document, not shown to the user: it is seeked.
   */
  constructor(model, video) {
    this.model = model;
    this.video = video;
    this.grabber = new FrameGrabber(model);
  }

  async open(file) {
    if (!("requestVideoFrameCallback" in HTMLVideoElement.prototype)) {
      throw new Error("This browser does not say which frame it shows; update it.");
    }
    // The first frame is waited for: shown late, it would pass for that of the first seek.
    const shown = this.nextFrame(0);
    shown.catch(() => {});
    this.address = await openVideo(this.video, file);
    this.first = await shown;
    // A recording of a browser may not know its end; seeking there finds it.
    if (this.video.duration === Infinity) await this.seek(1e9);
    this.last = await this.seek(this.video.duration);
    if (!(this.last > this.first)) {
      throw new Error("The video has one frame and so no motion.");
    }
    if (this.model.frame_rate === null) {
      // Frames as they come: numbers are those of the video itself.
      this.period = await this.measurePeriod();
      this.lead = this.period / 2;
    } else {
      this.period = 1 / this.model.frame_rate;
      this.lead = HALF_TICK;
    }
    const lasts = this.last - this.first;
    this.length = Math.floor((lasts + this.lead) / this.period) + 1;
    return this;
  }

  close() {
    this.video.removeAttribute("src");
    this.video.load();
    URL.revokeObjectURL(this.address);
  }

  get rate() {
    return 1 / this.period;
  }

  /** @returns {Promise<number>} stamp of the next frame that is shown; `time` is for errors. */
  nextFrame(time) {
    return new Promise((resolve, reject) => {
      const request = this.video.requestVideoFrameCallback((_, { mediaTime }) => {
        clearTimeout(stop);
        resolve(mediaTime);
      });
      const stop = setTimeout(() => {
        this.video.cancelVideoFrameCallback(request);
        reject(
          new Error(
            `The browser shows no frame at ${time.toFixed(2)} s; keep this page in front.`,
          ),
        );
      }, SEEK_TIMEOUT);
    });
  }

  /** Goes to a time in seconds. @returns {Promise<number>} stamp of the frame shown. */
  async seek(time) {
    const target = Math.min(time, this.video.duration);
    // Where it is already, a browser need not show the frame again.
    if (target === this.target) return this.stamp;
    const shown = this.nextFrame(target);
    const there = new Promise((resolve) => (this.video.onseeked = resolve));
    this.video.currentTime = target;
    [this.stamp] = await Promise.all([shown, there]);
    this.target = target;
    return this.stamp;
  }

  /** Seconds from frame to frame, the mean over the video. */
  async measurePeriod() {
    const lasts = this.last - this.first;
    let step = 0.004;
    let next = this.first;
    while (next <= this.first && step < lasts) {
      next = await this.seek(this.first + step);
      step *= 1.25;
    }
    // The first frames' distance is exact to a tick; longer stretches are to a part of one.
    let period = (next > this.first ? next : this.last) - this.first;
    for (let count = 2; count * period <= lasts; count *= 2) {
      const stamp = await this.seek(this.first + (count + 0.5) * period);
      period = (stamp - this.first) / Math.round((stamp - this.first) / period);
    }
    return lasts / Math.round(lasts / period);
  }

  /** @returns {Promise<Uint8Array>} pixels of frame `number` as the network sees them. */
  async frame(number) {
    await this.seek(this.first + number * this.period + this.lead);
    return this.grabber.grab(this.video);
  }

  /**
   * The clips that `h2s predict` looks at, with the part of each in the answer.
   * @param {(done: number, all: number) => boolean} progress false stops.
   * @yields {{pixels: Uint8Array, share: number}}
   */
  async *clips(progress = () => true) {
    const counts = new Map();
    for (const clip of clipIndices(this.model, this.length)) {
      const name = clip.join();
      counts.set(name, { clip, count: (counts.get(name)?.count ?? 0) + 1 });
    }
    const clips = [...counts.values()];
    const kept = new Map();
    for (const [index, { clip, count }] of clips.entries()) {
      // Only what this clip or a later one still needs is kept.
      const needed = new Set(clips.slice(index).flatMap((later) => later.clip));
      for (const number of kept.keys()) if (!needed.has(number)) kept.delete(number);
      for (const number of clip) {
        if (!kept.has(number)) kept.set(number, await this.frame(number));
      }
      if (!progress(index, clips.length)) return;
      const pixels = joinFrames(clip.map((number) => kept.get(number)));
      yield { pixels, share: count / this.model.clips };
    }
  }
}

/** Frames of one size, one after the other. */
export function joinFrames(frames) {
  const pixels = new Uint8Array(frames.length * frames[0].length);
  frames.forEach((frame, index) => pixels.set(frame, index * frame.length));
  return pixels;
}
