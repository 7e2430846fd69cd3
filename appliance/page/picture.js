// One image of the study: its picture, original or denoised, under its marks; zoom, position and
// window are its own.

import { picture, studyPath } from "./api.js";
import { el, svg } from "./dom.js";
import * as frame from "./frame.js";
import { attach } from "./gestures.js";
import { Marks } from "./marks.js";
import { TEST, capital } from "./words.js";

const AGAIN_MS = 2000;
const LONGEST_BAR = 120; // screen pixels
const WHOLE = { level: 50, window: 100 }; // percent of the grey levels

export class Picture {
  #pictures = new Map();
  #fitted = true;
  #view = { scale: 1, x: 0, y: 0 };

  // label: of this image among those of its modality. signal: ends loading and frees pictures.
  // on: {hovered, selected} as of Marks, and toned(tone) when the window was set by hand.
  constructor(study, image, label, on, signal) {
    Object.assign(this, { study, image, label, on, signal });
    this.name = `${capital(TEST[image.modality])} ${label}`;
    this.tone = WHOLE;
    this.kind = "original";
    this.marks = new Marks(image, on);
    this.stage = el("div", { class: "stage" }, this.marks.drawing, this.marks.labels);
    this.note = el("div", { class: "note", role: "status" });
    this.scaleNote = el("span");
    this.kindNote = el("span");
    this.ruler = el("span", { class: "ruler", hidden: true });
    this.curve = ["R", "G", "B"].map((c) => svg(`feFunc${c}`, { type: "linear" }));
    this.surface = el("div", { class: "surface", tabindex: "0", role: "group" },
      svg("svg", { class: "tone", "aria-hidden": "true" },
        svg("filter", { id: `tone-${image.index}`, "color-interpolation-filters": "sRGB" },
          svg("feComponentTransfer", {}, this.curve))),
      this.stage, this.note,
      image.laterality || image.view ? el("p", { class: "side-and-view", "aria-hidden": "true" }, label) : null,
      el("p", { class: "corner" }, this.kindNote, this.scaleNote, this.ruler));
    this.surface.style.setProperty("--ratio", `${image.width} / ${image.height}`);
    attach(this.surface, {
      moved: (dx, dy) => this.move(dx, dy),
      zoomed: (factor, x, y) => this.zoom(factor, x, y),
      fitted: (x, y) => (this.#fitted ? this.zoom(1 / this.#view.scale, x, y) : this.fit()),
      toned: (dx, dy) => this.shade(this.tone.level + dy / 4, this.tone.window + dx / 2),
    });
    new ResizeObserver(() => this.#resized()).observe(this.surface);
    this.show("original");
  }

  // "original" or "denoised".
  async show(kind) {
    this.kind = kind;
    this.kindNote.textContent = kind;
    this.surface.setAttribute("aria-label", `${this.name}, ${kind} picture`);
    for (const [other, shown] of this.#pictures) shown.hidden = other !== kind;
    this.stage.hidden = !this.#pictures.has(kind);
    if (this.#pictures.has(kind)) return this.#say("");
    this.#say("Loading the picture …");
    try {
      const shown = await this.#load(kind);
      if (this.#pictures.has(kind)) return;
      shown.hidden = this.kind !== kind;
      this.#pictures.set(kind, shown);
      this.stage.prepend(shown);
      if (this.kind === kind) this.show(kind);
      this.#resized();
    } catch (problem) {
      if (!this.signal.aborted && this.kind === kind) this.#failed(problem, kind);
    }
  }

  fit() {
    this.#fitted = true;
    this.#put(frame.fit(this.#pane, this.image));
  }

  actual() {
    this.#fitted = false;
    this.#put(frame.actual(this.#pane, this.image));
  }

  // About a point of the pane, its middle if none is given.
  zoom(factor, x = this.#pane.width / 2, y = this.#pane.height / 2) {
    this.#fitted = false;
    this.#put(frame.zoomed(this.#view, factor, x, y, this.#pane, this.image));
  }

  move(dx, dy) {
    this.#put(frame.moved(this.#view, dx, dy, this.#pane, this.image));
  }

  lookAt(number) {
    this.#fitted = false;
    this.#put(frame.around(this.image.findings[number - 1].box, this.#pane, this.image));
  }

  // level: the grey shown in the middle; window: the width of greys from black to white; percent.
  shade(level, window) {
    const within = (value, least, most) => Math.min(most, Math.max(least, value));
    this.tone = { level: within(level, 0, 100), window: within(window, 2, 200) };
    const slope = 100 / this.tone.window;
    for (const curve of this.curve) {
      curve.setAttribute("slope", slope);
      curve.setAttribute("intercept", 0.5 - (this.tone.level / 100) * slope);
    }
    const same = this.tone.level === WHOLE.level && this.tone.window === WHOLE.window;
    this.stage.style.setProperty("--tone", same ? "none" : `url(#tone-${this.image.index})`);
    this.on.toned(this.tone);
  }

  unshade() {
    this.shade(WHOLE.level, WHOLE.window);
  }

  get #pane() {
    return { width: this.surface.clientWidth, height: this.surface.clientHeight };
  }

  #resized() {
    if (!this.#pane.width) return; // a tab that is not shown
    if (this.#fitted) this.fit();
    else this.move(0, 0);
  }

  #put(view) {
    if (!this.#pane.width) return;
    this.#view = view;
    const { style } = this.stage;
    style.width = `${view.scale * this.image.width}px`;
    style.height = `${view.scale * this.image.height}px`;
    style.transform = `translate(${view.x}px, ${view.y}px)`;
    this.scaleNote.textContent = `${Math.round(100 * view.scale)} %`;
    this.#rule(view.scale);
    this.marks.place(view.scale);
  }

  // A bar of so many millimetres along a row, where the file tells how far its columns are apart.
  #rule(scale) {
    const column = this.image.spacing_mm?.[1];
    const bar = column ? frame.bar(scale / column, LONGEST_BAR) : null;
    this.ruler.hidden = bar === null;
    if (bar === null) return;
    this.ruler.textContent = `${bar.mm} mm`;
    this.ruler.style.setProperty("--length", `${bar.length}px`);
  }

  async #load(kind) {
    const path = `${studyPath(this.study)}/images/${this.image.index}/${kind}.png`;
    const url = URL.createObjectURL(await picture(path, this.signal));
    const free = () => URL.revokeObjectURL(url);
    if (this.signal.aborted) free();
    this.signal.addEventListener("abort", free);
    const shown = el("img", { alt: `${this.name}, ${kind}`, draggable: "false" });
    shown.src = url;
    await shown.decode();
    if (shown.naturalWidth !== this.image.width || shown.naturalHeight !== this.image.height) {
      // Outlines over another picture would point at the wrong place.
      throw new Error("The picture does not belong to this reading; load the page again.");
    }
    return shown;
  }

  #failed(problem, kind) {
    const drawing = problem.code === "study_not_read";
    const words = [problem.title ?? "The picture cannot be shown", problem.detail ?? problem.message];
    this.#say(drawing ? "The picture is being drawn …" : [...new Set(words)].join(". "));
    if (drawing || problem.lost) {
      setTimeout(() => !this.signal.aborted && this.kind === kind && this.show(kind), AGAIN_MS);
    } else {
      this.note.append(el("button", { type: "button", onclick: () => this.show(kind) }, "Try again"));
    }
  }

  #say(text) {
    this.note.replaceChildren(...(text ? [el("p", {}, text)] : []));
  }
}
