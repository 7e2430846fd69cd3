// Where an image stands in its pane. Pure: a view is {scale, x, y}; scale in screen pixels per
// image pixel, x and y of the image's top left corner in screen pixels from the pane's.

const MOST = 16; // screen pixels per image pixel

export function fit(pane, image) {
  const scale = Math.min(pane.width / image.width, pane.height / image.height);
  return centred(scale, pane, image);
}

export function actual(pane, image) {
  return centred(1, pane, image);
}

// Zoomed by `factor` about the point (px, py) of the pane, which keeps its place.
export function zoomed(view, factor, px, py, pane, image) {
  const least = Math.min(1, fit(pane, image).scale);
  const scale = Math.min(MOST, Math.max(least, view.scale * factor));
  const by = scale / view.scale;
  return held({ scale, x: px - (px - view.x) * by, y: py - (py - view.y) * by }, pane, image);
}

export function moved(view, dx, dy, pane, image) {
  return held({ ...view, x: view.x + dx, y: view.y + dy }, pane, image);
}

// With the box (x0, y0, x1, y1 of the image) in the middle, a third of the pane if that is not
// coarser than 4 screen pixels per pixel.
export function around([x0, y0, x1, y1], pane, image) {
  const room = Math.min(pane.width / (x1 - x0 || 1), pane.height / (y1 - y0 || 1)) / 3;
  const whole = fit(pane, image).scale;
  const scale = Math.min(MOST, Math.max(whole, Math.min(room, Math.max(4, 2 * whole))));
  const x = pane.width / 2 - (scale * (x0 + x1)) / 2;
  const y = pane.height / 2 - (scale * (y0 + y1)) / 2;
  return held({ scale, x, y }, pane, image);
}

// The longest bar of a round length that is not longer than `most` screen pixels: {mm, length}, or
// null where even a tenth of a millimetre is.
export function bar(pixelsPerMm, most) {
  const mm = [100, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1].find((length) => length * pixelsPerMm <= most);
  return mm === undefined ? null : { mm, length: mm * pixelsPerMm };
}

function centred(scale, pane, image) {
  const x = (pane.width - scale * image.width) / 2;
  const y = (pane.height - scale * image.height) / 2;
  return { scale, x, y };
}

// A side that fits is centred; a longer one never leaves a gap at an edge of the pane.
function held(view, pane, image) {
  return {
    scale: view.scale,
    x: along(view.x, pane.width, view.scale * image.width),
    y: along(view.y, pane.height, view.scale * image.height),
  };
}

function along(offset, room, length) {
  if (length <= room) return (room - length) / 2;
  return Math.min(0, Math.max(room - length, offset));
}
