// The findings of a study as tables, one for each image, joined with the regions of the pictures.

import { el } from "./dom.js";
import {
  SYMBOL, centre, isRead, noFindings, origin, score, size, verdictKind, verdictWords,
} from "./words.js";

export class Findings {
  // pictures: in the order of the result. on: {hovered(image, number | null), selected(image, number)}
  constructor(pictures, result, on) {
    this.result = result;
    this.rows = new Map(); // "image index:number" -> row
    this.element = el("section", { class: "findings", "aria-labelledby": "findings" },
      el("h2", { id: "findings" }, "Findings"),
      pictures.map((shown) => this.#ofImage(shown, on)));
  }

  mark(name, image, number) {
    for (const [key, row] of this.rows) {
      const it = image !== null && key === `${image.index}:${number}`;
      row.classList.toggle(name, it);
      if (name !== "selected") continue;
      row.querySelector("button").setAttribute("aria-pressed", String(it));
      if (it) row.scrollIntoView({ block: "nearest" });
    }
  }

  #ofImage({ image, name }, on) {
    const kind = verdictKind(image);
    return el("section", { class: "of-image" },
      el("h3", {}, name, el("span", { class: `symbol ${kind}` }, `${SYMBOL[kind]} ${verdictWords(image)}`)),
      isRead(image) ? el("p", { class: "quiet hint" }, score(image, this.result)) : null,
      this.#file(image),
      image.findings.length ? this.#table(image, name, on) : null,
      isRead(image) && !image.findings.length ? el("p", {}, noFindings(image)) : null,
      image.warnings.length
        ? el("ul", { class: "warnings" }, image.warnings.map((words) => el("li", {}, words)))
        : null);
  }

  #file(image) {
    const said = [image.name, origin(image) && `side and view ${origin(image)}`].filter(Boolean);
    return said.length ? el("p", { class: "quiet file" }, said.join(" · ")) : null;
  }

  #table(image, name, on) {
    const head = ["", "Finding", "Score", "Size"];
    return el("table", { "aria-label": `Findings of ${name}` },
      el("thead", {}, el("tr", {}, head.map((word) =>
        el("th", { scope: "col" }, word || el("span", { class: "unseen" }, "Number"))))),
      el("tbody", {}, image.findings.map((finding, k) => this.#row(image, finding, k + 1, on))));
  }

  #row(image, finding, number, on) {
    const row = el("tr", {
      onpointerenter: () => on.hovered(image, number),
      onpointerleave: () => on.hovered(image, null),
      onfocusin: () => on.hovered(image, number),
      onfocusout: () => on.hovered(image, null),
      onclick: () => on.selected(image, number),
    },
    el("th", { scope: "row" }, el("button", {
      type: "button", class: `number ${finding.label}`, "aria-pressed": "false",
      "aria-label": `Show finding ${number}, ${finding.label}`,
    }, String(number))),
    el("td", {}, el("span", { class: finding.label }, finding.label), el("small", {}, centre(finding))),
    el("td", {}, finding.score.toFixed(3)),
    el("td", {}, size(finding).map((words) => el("span", { class: "line" }, words))));
    this.rows.set(`${image.index}:${number}`, row);
    return row;
  }
}
