// Scores over time, as lines.

export const COLORS = ["--line-1", "--line-2", "--line-3", "--line-4", "--line-5"];
const MARGIN = { left: 48, right: 8, top: 8, bottom: 22 };
const CAMERA_SECONDS = 30;

export class Chart {
  constructor(canvas) {
    this.canvas = canvas;
    this.clear(null);
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** @param {number|null} duration seconds of the video; null for a camera. */
  clear(duration) {
    this.duration = duration;
    this.points = [];
    this.lines = [];
    this.draw();
  }

  /** Adds the scores of a moment; one near it is replaced. */
  add(time, scores) {
    // A video that runs again gives nearly the same moments again.
    const near = (this.duration ?? CAMERA_SECONDS) / 500;
    const oldest = this.duration === null ? time - CAMERA_SECONDS : 0;
    this.points = this.points.filter(
      (point) => Math.abs(point.time - time) > near && point.time >= oldest,
    );
    this.points.push({ time, scores });
    this.points.sort((one, two) => one.time - two.time);
    this.pickLines(scores.length);
    this.draw();
  }

  /** Classes with the highest mean score get a line; one that has a line keeps its colour. */
  pickLines(count) {
    const mean = Array.from({ length: count }, (_, index) =>
      this.points.reduce((sum, point) => sum + point.scores[index], 0),
    );
    const best = mean.map((_, index) => index).sort((a, b) => mean[b] - mean[a]);
    const chosen = best.slice(0, COLORS.length);
    const lines = Array.from(COLORS, (_, slot) =>
      chosen.includes(this.lines[slot]) ? this.lines[slot] : undefined,
    );
    for (const index of chosen) {
      if (!lines.includes(index)) lines[lines.indexOf(undefined)] = index;
    }
    this.lines = lines;
  }

  draw() {
    const { canvas, points } = this;
    const { clientWidth: width, clientHeight: height } = canvas;
    if (!width || !height) return;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const style = getComputedStyle(canvas);
    const value = (name) => style.getPropertyValue(name);
    const end = this.duration ?? Math.max(CAMERA_SECONDS, points.at(-1)?.time ?? 0);
    const start = this.duration === null ? end - CAMERA_SECONDS : 0;
    const x = (time) =>
      MARGIN.left + ((time - start) / (end - start || 1)) * (width - MARGIN.left - MARGIN.right);
    const y = (score) => height - MARGIN.bottom - score * (height - MARGIN.top - MARGIN.bottom);

    context.font = `12px ${style.fontFamily}`;
    context.fillStyle = value("--quiet");
    context.strokeStyle = value("--rule");
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const score of [0, 0.5, 1]) {
      context.fillText(`${100 * score} %`, MARGIN.left - 6, y(score));
      context.beginPath();
      context.moveTo(MARGIN.left, y(score));
      context.lineTo(width - MARGIN.right, y(score));
      context.stroke();
    }
    context.textBaseline = "alphabetic";
    for (const [part, align] of [[0, "left"], [0.5, "center"], [1, "right"]]) {
      const time = start + part * (end - start);
      context.textAlign = align;
      context.fillText(`${time.toFixed(1)} s`, x(time), height - 6);
    }
    context.lineWidth = 2;
    context.lineJoin = "round";
    this.lines.forEach((index, slot) => {
      if (index === undefined) return;
      context.strokeStyle = context.fillStyle = value(COLORS[slot]);
      context.beginPath();
      for (const { time, scores } of points) context.lineTo(x(time), y(scores[index]));
      context.stroke();
      if (points.length === 1) {
        context.fillRect(x(points[0].time) - 2, y(points[0].scores[index]) - 2, 4, 4);
      }
    });
  }
}
