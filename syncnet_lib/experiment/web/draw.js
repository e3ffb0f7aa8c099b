// What the player and the filter draw with. The scripts of this folder are joined, in the order draw, player, filter,
// explorer, and are one module.

const VIRIDIS = ['#440154', '#472d7b', '#3b528b', '#2c728e', '#21918c', '#28ae80', '#5ec962', '#addc30', '#fde725'].map(
  (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));

/** Red, green and blue of a value between 0 (dark) and 1 (light). */
function viridis(share) {
  const at = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return VIRIDIS[low].map((value, n) => value + (at - low) * (VIRIDIS[low + 1][n] - value));
}

/** A picture of a table, a pixel a value; `valueAt(column, row)` is between 0 and 1, or NaN for nothing. */
function heatmap(columns, rows, valueAt) {
  const canvas = new OffscreenCanvas(columns, rows);
  const context = canvas.getContext('2d');
  const image = context.createImageData(columns, rows);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const value = valueAt(column, row);
      if (!Number.isNaN(value)) image.data.set([...viridis(value), 255], 4 * (row * columns + column));
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** The context of a canvas as large as its place on the page, cleared, whose unit is a CSS pixel. */
function cleared(canvas) {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext('2d');
  context.scale(scale, scale);
  context.clearRect(0, 0, width, height);
  context.font = '11px system-ui, sans-serif';
  return context;
}

/** The colours of the page, by the names of its CSS variables: light or dark, as it is shown now. */
function palette(element) {
  const probe = element.querySelector('.probe');
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  return Object.fromEntries(['text', 'soft', 'line', 'accent', 'false', 'panel', 'amber'].map((name) => [name, colour(name)]));
}

/** A line through values; NaN is a gap. */
function curve(context, points, x, y) {
  context.beginPath();
  let drawing = false;
  points.forEach((value, n) => {
    if (Number.isNaN(value)) drawing = false;
    else if (drawing) context.lineTo(x(n), y(value));
    else { context.moveTo(x(n), y(value)); drawing = true; }
  });
  context.stroke();
}

function median(of) {
  const known = of.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  return known.length ? (known[(known.length - 1) >> 1] + known[known.length >> 1]) / 2 : NaN;
}

/** The numbers behind a view that came from the kernel, as an array of a kind. */
const values = (kind, view) => new kind(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
const signed = (number) => (number > 0 ? `+${number}` : number < 0 ? `−${-number}` : '0');
