// Flow as colours: hue is the direction, saturation the length. The wheel and the rule are
// those of the Middlebury benchmark (Baker et al. 2011), as in
// h2s_keras/visualization/flow_color.py.

const TRANSITIONS = [
  [15, 1, true], // red to yellow
  [6, 0, false], // to green
  [4, 2, true], // to cyan
  [11, 1, false], // to blue
  [13, 0, true], // to magenta
  [6, 2, false], // to red
];

export const WHEEL = [];
const color = [255, 0, 0];
for (const [count, channel, rises] of TRANSITIONS) {
  for (let step = 0; step < count; step++) {
    const moved = Math.floor((255 * step) / count);
    color[channel] = rises ? moved : 255 - moved;
    WHEEL.push([...color]);
  }
  color[channel] = rises ? 255 : 0;
}

/**
 * Paints flow.
 * @param {Float32Array} values height * width * 2: x to the right, y down.
 * @param {number} largest length of full colour; longer ones are darkened.
 * @returns {ImageData}
 */
export function flowImage({ values, height, width }, largest) {
  const image = new ImageData(width, height);
  for (let place = 0; place < height * width; place++) {
    const x = values[2 * place];
    const y = values[2 * place + 1];
    const radius = Math.hypot(x, y) / largest;
    const angle = Math.atan2(-(y + 0), -x) / Math.PI;
    const position = ((angle + 1) / 2) * (WHEEL.length - 1);
    const low = Math.floor(position);
    const part = position - low;
    for (let channel = 0; channel < 3; channel++) {
      const one = WHEEL[low][channel];
      const two = WHEEL[(low + 1) % WHEEL.length][channel];
      const pure = (1 - part) * one + part * two;
      image.data[4 * place + channel] = Math.trunc(
        radius <= 1 ? 255 - radius * (255 - pure) : 0.75 * pure,
      );
    }
    image.data[4 * place + 3] = 255;
  }
  return image;
}

/** Draws the legend: the colour at an offset from the centre is that of motion along it. */
export function drawWheel(canvas) {
  const size = canvas.width;
  const centre = (size - 1) / 2;
  const values = new Float32Array(size * size * 2);
  for (let place = 0; place < size * size; place++) {
    values[2 * place] = ((place % size) - centre) / centre;
    values[2 * place + 1] = (Math.floor(place / size) - centre) / centre;
  }
  const image = flowImage({ values, height: size, width: size }, 1);
  for (let place = 0; place < size * size; place++) {
    const outside = Math.hypot(values[2 * place], values[2 * place + 1]) > 1;
    if (outside) image.data[4 * place + 3] = 0;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}
