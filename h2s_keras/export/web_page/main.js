// The page: what is chosen, played, asked and shown.

import { Chart, COLORS } from "./chart.js";
import { drawWheel, flowImage } from "./flow_color.js";
import { FrameGrabber, centreCropBox, clipSpan, decodedSize } from "./frames.js";
import { LiveClip } from "./live_clip.js";
import { Recognizer } from "./recognizer.js";
import { VideoReader, openVideo } from "./video_reader.js";

const BEST = 5; // classes listed

const part = (id) => document.getElementById(id);
const video = part("video");
const percent = (score) => `${(100 * score).toFixed(1)}\u00a0%`;

let recognizer, model, grabber, chart;
let live = null; // the LiveClip of what plays
let busy = false; // whether the network computes a live clip
let session = 0; // counts what was chosen; answers to something older are dropped
let opened = null; // what to close before something else is chosen
let flow = null; // the flow shown
const stamps = { frames: [], answers: [] };

// === What is shown ===

function say(text) {
  part("status").textContent = text;
}

function fail(error) {
  part("error").textContent = error?.message ?? String(error);
  part("error").hidden = false;
}

function item(list, ...children) {
  const entry = document.createElement("li");
  entry.append(...children);
  list.append(entry);
}

function element(name, text = "", style = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  Object.assign(made.style, style);
  return made;
}

function order(scores) {
  return scores.map((_, index) => index).sort((a, b) => scores[b] - scores[a]);
}

function showFlow() {
  part("pixels").textContent = part("largest").value;
  if (flow === null) return;
  const image = flowImage(flow, Number(part("largest").value));
  Object.assign(part("flow"), { width: image.width, height: image.height });
  part("flow").getContext("2d").putImageData(image, 0, 0);
}

/** Frames and answers of the last two seconds, or of the last two, by the second. */
function showSpeed(milliseconds) {
  const now = performance.now();
  for (const name of ["frames", "answers"]) {
    const last = stamps[name].length - 2;
    stamps[name] = stamps[name].filter((stamp, at) => stamp > now - 2000 || at >= last);
    const spent = (stamps[name].at(-1) - stamps[name][0]) / 1000;
    part(name).textContent = spent ? ((stamps[name].length - 1) / spent).toFixed(1) : "–";
  }
  part("time").textContent = milliseconds.toFixed(0);
}

function showAnswer(time, { probabilities, flow: newFlow, milliseconds }) {
  const [best] = order(probabilities);
  part("best").textContent = model.classes[best];
  part("score").textContent = percent(probabilities[best]);
  flow = newFlow;
  showFlow();
  chart.add(time, probabilities);
  const lines = chart.lines.map((index, slot) => ({ index, slot }));
  part("legend").replaceChildren();
  for (const { index, slot } of lines) {
    if (index === undefined) continue;
    const mark = element("i", "", { background: `var(${COLORS[slot]})` });
    item(part("legend"), mark, model.classes[index]);
  }
  const label = `Scores over time; at ${time.toFixed(1)} s ${model.classes[best]}`;
  part("chart").setAttribute("aria-label", `${label}, ${percent(probabilities[best])}`);
  showSpeed(milliseconds);
}

function showScores(scores) {
  part("scores").replaceChildren();
  for (const index of order(scores).slice(0, BEST)) {
    const bar = element("span");
    bar.className = "bar";
    bar.append(element("i", "", { width: `${100 * scores[index]}%` }));
    const number = element("span", percent(scores[index]));
    number.className = "number";
    item(part("scores"), element("span", model.classes[index]), bar, number);
  }
}

/** Says which part of the frame the network sees, and puts the flow where that lies. */
function showSeen() {
  const size = [video.videoHeight, video.videoWidth];
  const decoded = decodedSize(size, model.decode_size);
  const [, , height, width] = centreCropBox(decoded, model.image_size);
  const whole = height === decoded[0] && width === decoded[1];
  part("seen").textContent = whole ? "(seen whole)" : "(seen: the middle)";
  Object.assign(part("flow").style, {
    width: `${(100 * width) / decoded[1]}%`,
    height: `${(100 * height) / decoded[0]}%`,
  });
  for (const place of [video, part("flow").parentElement]) {
    place.style.aspectRatio = `${size[1]} / ${size[0]}`;
  }
}

// === What plays ===

function onFrame(_, { mediaTime }) {
  if (live !== null) {
    stamps.frames.push(performance.now());
    live.add(mediaTime, grabber.grab(video));
    askLive(mediaTime);
  }
  video.requestVideoFrameCallback(onFrame);
}

async function askLive(time) {
  const pixels = busy ? null : live.pixels();
  if (pixels === null) return;
  busy = true;
  const asked = session;
  try {
    const answer = await recognizer.answerClip(pixels);
    stamps.answers.push(performance.now());
    if (asked === session) showAnswer(time, answer);
  } catch (error) {
    fail(error);
  } finally {
    busy = false;
  }
}

/** Ends what was chosen before. */
function reset() {
  session++;
  live = null;
  opened?.();
  opened = null;
  part("error").hidden = part("whole").hidden = true;
  part("camera").textContent = "Use the camera";
  part("best").textContent = part("frames").textContent = part("answers").textContent = "–";
  part("score").textContent = "";
  part("legend").replaceChildren();
  part("scores").replaceChildren();
  stamps.frames = [];
  stamps.answers = [];
  video.srcObject = null;
  return session;
}

async function chooseFile(file) {
  const mine = reset();
  say(`Reading ${file.name} …`);
  try {
    const address = await openVideo(video, file);
    opened = () => {
      video.pause();
      video.removeAttribute("src");
      URL.revokeObjectURL(address);
    };
    if (mine !== session) return;
    showSeen();
    const scores = await answerFile(file, mine);
    if (mine !== session) return;
    say(`${file.name}: ${model.classes[order(scores)[0]]}`);
    await video.play().catch(() => say("Press play to see the motion."));
  } catch (error) {
    if (mine !== session) return;
    say("");
    fail(error);
  }
}

/** The answer for a whole file, shown; the live answers begin when it is there. */
async function answerFile(file, mine) {
  const reader = await new VideoReader(model, part("reader")).open(file);
  try {
    if (mine !== session) return null;
    live = new LiveClip(model, reader.rate);
    chart.clear(video.duration);
    part("method").textContent =
      `Mean of up to ${model.clips} clips at ${Number(reader.rate.toFixed(2))} frames a second` +
      (clipSpan(model) > reader.length ? "; the video is shorter than a clip." : ".");
    part("whole").hidden = part("progress").hidden = false;
    const scores = await recognizer.answerVideo(reader, (done, all) => {
      part("progress").value = done / all;
      if (mine === session) say(`${file.name}: clip ${done + 1} of ${all} …`);
      return mine === session;
    });
    if (scores !== null && mine === session) showScores(scores);
    return scores;
  } finally {
    reader.close();
    if (mine === session) part("progress").hidden = true;
  }
}

async function chooseCamera() {
  const stops = video.srcObject !== null;
  const mine = reset();
  if (stops) return say("The camera is off.");
  try {
    if (!navigator.mediaDevices) {
      throw new Error("Browsers give the camera to https:// and http://localhost only.");
    }
    const stream = await navigator.mediaDevices.getUserMedia({ video: true });
    const close = () => stream.getTracks().forEach((track) => track.stop());
    if (mine !== session) return close();
    opened = close;
    video.srcObject = stream;
    await video.play();
    showSeen();
    chart.clear(null);
    live = new LiveClip(model, model.frame_rate);
    part("camera").textContent = "Stop the camera";
    say("The camera's picture stays on this device.");
  } catch (error) {
    if (mine !== session) return;
    video.srcObject = null;
    fail(new Error(`The camera cannot be used: ${error.message}`));
  }
}

// === Start ===

async function start() {
  drawWheel(part("wheel"));
  chart = new Chart(part("chart"));
  recognizer = await Recognizer.load();
  ({ model } = recognizer);
  grabber = new FrameGrabber(model);
  const [height, width] = model.image_size;
  part("model").textContent =
    `${model.classes.length} classes; clips of ${model.num_frames} frames of ` +
    `${width} × ${height} pixels. Computed on this device (${recognizer.place}): ` +
    "nothing is uploaded.";
  for (const note of recognizer.notes) console.info(note);
  video.requestVideoFrameCallback(onFrame);
  part("file").addEventListener("change", ({ target }) => {
    if (target.files.length) chooseFile(target.files[0]);
    target.value = ""; // so that the same file can be chosen again
  });
  part("camera").addEventListener("click", chooseCamera);
  part("largest").addEventListener("input", showFlow);
  part("file").disabled = part("camera").disabled = false;
  return recognizer;
}

/** For scripts: `await h2s.ready` is the Recognizer; `h2s.answerFile(blob)` its scores. */
window.h2s = {
  ready: start(),
  async answerFile(file) {
    const { model } = await window.h2s.ready;
    const element = document.createElement("video");
    Object.assign(element, { muted: true, playsInline: true });
    document.querySelector(".reader").append(element);
    const reader = await new VideoReader(model, element).open(file);
    try {
      return await recognizer.answerVideo(reader);
    } finally {
      reader.close();
      element.remove();
    }
  },
};
window.h2s.ready.catch((error) => {
  part("model").textContent = "";
  fail(error);
});
