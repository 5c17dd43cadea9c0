// The latest clip of a video that plays or of a camera.

import { clipSpan } from "./frames.js";
import { joinFrames } from "./video_reader.js";

const HALF_TICK = 0.0005; // seconds, as in video_reader.js
const LONGEST_GAP = 1; // seconds without a frame after which a clip begins anew

export class LiveClip {
  /**
   * @param {object} model what model.json holds.
   * @param {number|null} rate frames a second; null takes every frame as it comes.
   */
  constructor(model, rate) {
    this.model = model;
    this.rate = rate;
    this.span = clipSpan(model);
    this.reset();
  }

  reset() {
    this.frames = [];
    this.time = this.shown = null;
    this.moments = 0;
  }

  /** Seconds of video that a clip takes. */
  get seconds() {
    return (this.span - 1) / (this.rate ?? 25);
  }

  /** Adds the frame that is shown from `time` (seconds) on. */
  add(time, frame) {
    if (this.time !== null && (time < this.time || time - this.time > LONGEST_GAP)) {
      this.reset();
    }
    if (this.rate === null) {
      this.frames.push(frame);
    } else {
      this.start = this.time === null ? time : this.start;
      // A moment shows the last frame at or before it, so frames repeat or are left out.
      while (this.start + this.moments / this.rate < time - HALF_TICK) {
        this.frames.push(this.shown);
        this.moments++;
      }
      if (this.start + this.moments / this.rate < time + HALF_TICK) {
        this.frames.push(frame);
        this.moments++;
      }
    }
    this.time = time;
    this.shown = frame;
    this.frames = this.frames.slice(-this.span);
  }

  /** @returns {Uint8Array|null} pixels of the newest clip; null before there is one. */
  pixels() {
    if (this.frames.length < this.span) return null;
    const stride = this.model.frame_stride;
    return joinFrames(this.frames.filter((_, index) => index % stride === 0));
  }
}
