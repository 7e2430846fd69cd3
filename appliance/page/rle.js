// COCO's compressed run-length mask as an SVG path.
// Source of the format: cocodataset/cocoapi, common/maskApi.c, rleFrString; see appliance/output/rle.py.

// Runs of 0, 1, 0, ... down the columns. Throws RangeError if they do not fill the image exactly.
export function runs({ size: [height, width], counts }) {
  const lengths = [];
  let at = 0;
  while (at < counts.length) {
    let value = 0;
    let place = 0;
    let digit;
    do {
      digit = counts.charCodeAt(at++) - 48;
      if (!(digit >= 0 && digit < 64) || place > 6) throw new RangeError("not a run-length string");
      value += (digit & 31) * 2 ** (5 * place++);
    } while (digit & 32);
    if (digit & 16) value -= 2 ** (5 * place);
    if (lengths.length > 2) value += lengths[lengths.length - 2];
    if (value < 0) throw new RangeError("a run is negative");
    lengths.push(value);
  }
  if (lengths.reduce((sum, run) => sum + run, 0) !== height * width) {
    throw new RangeError("the runs do not fill the image");
  }
  return lengths;
}

// The mask as bars "M x y h w v h h -w z", in pixels of the image. Equal bars of neighbouring
// columns are one; all lie in one path, so that their edges meet without a seam.
export function maskPath(mask) {
  const columns = bars(mask);
  const open = new Map(); // bar -> its first column
  let path = "";
  for (let x = 0; x <= mask.size[1]; x++) {
    const here = columns.get(x) ?? new Set();
    for (const [bar, start] of open) {
      if (here.has(bar)) continue;
      const [top, bottom] = bar.split(":");
      path += `M${start} ${top}h${x - start}v${bottom - top}h${start - x}z`;
      open.delete(bar);
    }
    for (const bar of here) if (!open.has(bar)) open.set(bar, x);
  }
  return path;
}

// Map of column -> set of "top:bottom", half-open.
function bars(mask) {
  const height = mask.size[0];
  const columns = new Map();
  let start = 0;
  runs(mask).forEach((length, number) => {
    const end = start + length;
    for (let from = start; number % 2 === 1 && from < end; ) {
      const x = Math.floor(from / height);
      const to = Math.min(end, (x + 1) * height);
      if (!columns.has(x)) columns.set(x, new Set());
      columns.get(x).add(`${from - x * height}:${to - x * height}`);
      from = to;
    }
    start = end;
  });
  return columns;
}
