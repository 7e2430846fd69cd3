// The findings over an image: mask, outline and tag of each, in the image's own pixels.

import { el, svg } from "./dom.js";
import { maskPath } from "./rle.js";

export const nameOf = (finding, number) => `${number} ${finding.label} ${finding.score.toFixed(2)}`;

export class Marks {
  // on: {hovered(number | null), selected(number)}; numbers from 1, as in the table.
  constructor(image, on) {
    this.image = image;
    this.regions = new Map();
    this.tags = new Map();
    const ranked = image.findings.map((finding, k) => [finding, k + 1]);
    ranked.sort(([a], [b]) => a.score - b.score); // the most malignant is drawn last
    for (const [finding, number] of ranked) this.#draw(finding, number, on);
    this.drawing = svg("svg", {
      class: "regions", viewBox: `0 0 ${image.width} ${image.height}`,
      preserveAspectRatio: "none", "aria-hidden": "true",
    }, [...this.regions.values()]);
    // In the order of the table, as they are tabbed through.
    this.labels = el("div", { class: "tags" },
      image.findings.map((_, k) => this.tags.get(k + 1)));
  }

  mark(name, number) {
    for (const marks of [this.regions, this.tags]) {
      for (const [k, mark] of marks) mark.classList.toggle(name, k === number);
    }
    if (name === "selected") {
      for (const [k, tag] of this.tags) tag.setAttribute("aria-pressed", String(k === number));
    }
  }

  // Put every tag beside its region, clear of the other tags and, if it can be, of all regions.
  // scale: screen pixels per image pixel.
  place(scale) {
    const width = this.image.width * scale;
    const height = this.image.height * scale;
    const regions = this.image.findings.map(({ box }) => {
      const [left, top, right, bottom] = box.map((v) => v * scale);
      return { left, top, right, bottom };
    });
    const taken = [];
    for (const [number, tag] of [...this.tags].reverse()) {
      const region = regions[number - 1];
      const places = around(region, tag.offsetWidth, tag.offsetHeight, width, height);
      const clear = (others) => (one) => !others.some((other) => overlap(one, other));
      const free = places.filter(clear(taken));
      const place = free.find(clear(regions)) ?? free[0] ?? places[0];
      taken.push(place);
      tag.style.left = `${(100 * place.left) / width}%`;
      tag.style.top = `${(100 * place.top) / height}%`;
    }
  }

  #draw(finding, number, on) {
    const outline = finding.contour.length ? `M${finding.contour.join("L")}Z` : "";
    const events = {
      onpointerenter: () => on.hovered(number),
      onpointerleave: () => on.hovered(null),
      onclick: () => on.selected(number),
    };
    this.regions.set(number, svg("g", { class: `region ${finding.label}`, ...events },
      svg("path", { class: "mask", d: maskPath(finding.mask) }),
      svg("path", { class: "halo", d: outline }),
      svg("path", { class: "outline", d: outline })));
    const tag = el("button", {
      type: "button", class: `tag ${finding.label}`, "aria-pressed": "false",
      "aria-label": `Finding ${nameOf(finding, number)}`,
      onfocus: () => on.hovered(number), onblur: () => on.hovered(null), ...events,
    }, String(number), el("span", {}, nameOf(finding, number).slice(String(number).length)));
    // On paper, where pictures have another size: above the box, from its left or to its right.
    const [x0, y0, x1] = finding.box;
    const right = x0 > this.image.width / 2;
    tag.style.setProperty("--left", right ? "auto" : `${(100 * x0) / this.image.width}%`);
    tag.style.setProperty("--right", right ? `${100 - (100 * x1) / this.image.width}%` : "auto");
    tag.style.setProperty("--top", `${(100 * y0) / this.image.height}%`);
    this.tags.set(number, tag);
  }
}

// Where a tag of w x h could stand: above and below, from the region's left or to its right.
function around(region, w, h, width, height) {
  const tops = [region.top - h - 4, region.bottom + 4, region.top - 2 * h - 6, region.bottom + h + 6];
  const lefts = [region.left, region.right - w];
  return tops.flatMap((y) => lefts.map((x) => {
    const left = Math.max(0, Math.min(x, width - w));
    const top = Math.max(0, Math.min(y, height - h));
    return { left, top, right: left + w, bottom: top + h };
  }));
}

const overlap = (a, b) =>
  a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
