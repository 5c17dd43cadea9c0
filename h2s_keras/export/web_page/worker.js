// Computes the network, away from the thread that plays the video.

let runtime, session, shape, sizes;

const here = (name) => new URL(name, import.meta.url).href;

async function load({ provider, model }) {
  runtime = await import(here(`runtime/${model.runtime[provider]}`));
  runtime.env.wasm.wasmPaths = here("runtime/");
  // Threads share memory, which browsers allow only to pages that are isolated.
  const threads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
  runtime.env.wasm.numThreads = threads;
  session = await runtime.InferenceSession.create(here("model.onnx"), {
    executionProviders: provider === "webgpu" ? ["webgpu", "wasm"] : ["wasm"],
    logSeverityLevel: 3, // errors: which part of the network runs where is no warning
  });
  shape = [1, model.num_frames, ...model.image_size, 3];
  sizes = shape.reduce((size, side) => size * side);
  return { threads };
}

async function run({ pixels }) {
  if (pixels.length !== sizes) {
    throw new Error(`A clip has ${sizes} values (${shape.join(" x ")}), not ${pixels.length}.`);
  }
  const started = performance.now();
  const clips = new runtime.Tensor("uint8", pixels, shape);
  const { logits, flow } = await session.run({ clips });
  return {
    logits: Float32Array.from(logits.data),
    flow: { values: Float32Array.from(flow.data), height: flow.dims[1], width: flow.dims[2] },
    milliseconds: performance.now() - started,
  };
}

self.onmessage = async ({ data: { id, task, ...values } }) => {
  try {
    const result = await (task === "load" ? load(values) : run(values));
    self.postMessage({ id, result });
  } catch (error) {
    self.postMessage({ id, error: String(error?.message ?? error) });
  }
};
