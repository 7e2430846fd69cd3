// The reading of a study: verdict, the two panes, the findings, and how they are looked at.

import { el } from "./dom.js";
import { Findings } from "./findings.js";
import { Pane } from "./pane.js";
import { MODALITIES, NOT_READ, SYMBOL, capital, caution, denoising, isRead, reason, when } from "./words.js";

export class Reading {
  // posted: ISO time or null. signal: aborted when the reading leaves the page.
  constructor(result, posted, signal) {
    this.result = result;
    const on = {
      hovered: (image, number) => this.#mark("hovered", image, number),
      selected: (image, number) => this.select(image, number),
    };
    this.panes = MODALITIES.map((modality) => new Pane(modality, result, on, signal));
    this.pictures = this.panes.flatMap((pane) => pane.pictures)
      .sort((a, b) => a.image.index - b.image.index);
    this.findings = new Findings(this.pictures, result, on);
    this.element = el("article", { class: "reading", "aria-labelledby": "verdict" },
      this.#banner(posted),
      el("div", { class: "panes" }, this.panes.map((pane) => pane.element)),
      el("div", { class: "panel" },
        el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Findings and details" },
          this.findings.element, this.#details(posted)),
        this.#display()));
    this.opacity(35);
  }

  // A finding, from picture or table; again, and it is let go.
  select(image, number, { toggle = true } = {}) {
    const same = this.selected?.image === image && this.selected.number === number;
    if (same && toggle) return this.deselect();
    this.selected = { image, number };
    this.#mark("selected", image, number);
    const pane = this.panes.find((one) => one.modality === image.modality);
    const k = pane.pictures.findIndex((shown) => shown.image === image);
    if (k !== pane.number) pane.choose(k);
  }

  deselect() {
    this.selected = null;
    this.#mark("selected", null, null);
  }

  // The next finding of the study, or the one before.
  step(by) {
    const all = this.pictures.flatMap(({ image }) =>
      image.findings.map((_, k) => ({ image, number: k + 1 })));
    if (!all.length) return;
    const now = all.findIndex(({ image, number }) =>
      image === this.selected?.image && number === this.selected.number);
    const next = all[now < 0 ? (by > 0 ? 0 : all.length - 1) : (now + by + all.length) % all.length];
    this.select(next.image, next.number, { toggle: false });
  }

  zoomToSelected() {
    if (!this.selected) return;
    const shown = this.pictures.find(({ image }) => image === this.selected.image);
    shown.lookAt(this.selected.number);
  }

  focus(modality) {
    this.panes.find((pane) => pane.modality === modality).shown?.surface.focus();
  }

  kind(kind) {
    for (const button of this.kinds) {
      button.setAttribute("aria-pressed", String(button.dataset.kind === kind));
    }
    for (const shown of this.pictures) shown.show(kind);
  }

  otherKind() {
    const shown = this.pictures.find(({ image }) => isRead(image));
    this.kind(shown?.kind === "original" ? "denoised" : "original");
  }

  marks(shown) {
    this.showMarks.checked = shown;
    this.element.classList.toggle("unmarked", !shown);
  }

  otherMarks() {
    this.marks(!this.showMarks.checked);
  }

  // Of the masks, percent.
  opacity(percent) {
    this.slider.value = Math.min(100, Math.max(0, percent));
    this.element.style.setProperty("--opacity", this.slider.value / 100);
  }

  moreOpacity(by) {
    this.opacity(Number(this.slider.value) + by);
  }

  #mark(name, image, number) {
    for (const { image: other, marks } of this.pictures) marks.mark(name, other === image ? number : null);
    this.findings.mark(name, number === null ? null : image, number);
  }

  #banner(posted) {
    const { verdict, incomplete, id, warnings = [] } = this.result;
    const warned = caution(this.result);
    return el("header", { class: `banner ${verdict}` },
      el("h1", { id: "verdict", tabindex: "-1" }, el("span", { class: "sign", "aria-hidden": "true" }, SYMBOL[verdict]), capital(verdict)),
      el("p", { class: "why" }, reason(this.result),
        [...warnings, warned].filter(Boolean).map((words) => el("strong", {}, words))),
      incomplete ? el("p", { class: "tag-incomplete" }, "Incomplete") : null,
      el("p", { class: "which" }, el("span", { class: "id" }, id), posted && el("time", { datetime: posted }, when(posted))));
  }

  #display() {
    this.kinds = ["original", "denoised"].map((kind) => el("button", {
      type: "button", "data-kind": kind, "aria-pressed": String(kind === "original"),
      onclick: () => this.kind(kind),
    }, capital(kind)));
    this.showMarks = el("input", { type: "checkbox", checked: true, onchange: () => this.marks(this.showMarks.checked) });
    this.slider = el("input", {
      type: "range", min: 0, max: 100, step: 5, "aria-label": "Opacity of the masks",
      oninput: () => this.opacity(Number(this.slider.value)),
    });
    return el("section", { class: "display", "aria-labelledby": "display" },
      el("h2", { id: "display" }, "View"),
      el("button", { type: "button", class: "print", onclick: () => window.print() }, "Print"),
      el("div", { class: "choice", role: "group", "aria-label": "Picture" }, this.kinds),
      el("label", {}, this.showMarks, "Findings on the pictures"),
      el("label", { class: "slide" }, "Mask", this.slider),
      el("p", { class: "quiet hint" }, "Drag to move, wheel to zoom, right button to set the window. ",
        el("kbd", {}, "?"), " shows all keys."));
  }

  #details(posted) {
    const { id, model, timings_ms: timings, software } = this.result;
    const points = Object.entries(model.operating_points).map(([code, at]) => `${code} ${at.toFixed(3)}`);
    const facts = {
      Study: id,
      Posted: posted && when(posted),
      Model: `${model.name} ${model.version}`,
      "Model sha256": model.sha256,
      Runtime: model.runtime,
      "Positive from": points.join(", "),
      ...Object.fromEntries(this.pictures.map(({ name, image }) =>
        [name, isRead(image) ? `${image.width} × ${image.height} pixels; ${denoising(image.denoise)}` : NOT_READ])),
      Time: timings.total === undefined ? null : `${(timings.total / 1000).toFixed(2)} s`,
      Software: software,
    };
    const known = Object.entries(facts).filter(([, fact]) => fact);
    return el("details", { class: "details", open: true },
      el("summary", {}, "About this reading"),
      el("dl", {}, known.map(([name, fact]) => [el("dt", {}, name), el("dd", {}, fact)])));
  }
}
