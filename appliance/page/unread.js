// An image of the study that could not be read: its place among the others, and why. It answers to
// what its pane asks of a picture, of which it has none.

import { el } from "./dom.js";
import { NOT_READ, TEST, capital } from "./words.js";

export class Unread {
  // label: of this image among those of its modality.
  constructor(image, label) {
    Object.assign(this, { image, label });
    this.name = `${capital(TEST[image.modality])} ${label}`;
    this.tone = { level: 50, window: 100 };
    this.marks = { mark() {} };
    this.surface = el("div", { class: "surface unread", tabindex: "0", role: "group", "aria-label": `${this.name}, ${NOT_READ}` },
      el("p", { class: "big" }, `${capital(TEST[image.modality])} not read`),
      image.name ? el("p", { class: "file" }, image.name) : null,
      image.warnings.map((words) => el("p", {}, words)),
      image.laterality || image.view ? el("p", { class: "side-and-view", "aria-hidden": "true" }, label) : null);
  }

  show() {}
  fit() {}
  actual() {}
  zoom() {}
  move() {}
  shade() {}
  unshade() {}
}
