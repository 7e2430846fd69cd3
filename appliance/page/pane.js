// The images of one modality: a tab for each, one shown, and the tools for the one shown.

import { el } from "./dom.js";
import { Picture } from "./picture.js";
import { Unread } from "./unread.js";
import { SYMBOL, TEST, capital, isRead, labels, score, verdictKind, verdictWords } from "./words.js";

const STEP = 40; // screen pixels
const ZOOM = 1.25;

export class Pane {
  // on: {hovered(image, number | null), selected(image, number)}
  constructor(modality, result, on, signal) {
    const images = result.images.filter((image) => image.modality === modality);
    const called = labels(images);
    const id = `pane-${modality}`;
    this.modality = modality;
    this.result = result;
    this.title = capital(TEST[modality]);
    this.pictures = images.map((image, k) => (isRead(image) ? new Picture(result.id, image, called[k], {
      hovered: (number) => on.hovered(image, number),
      selected: (number) => on.selected(image, number),
      toned: () => this.#showTone(),
    }, signal) : new Unread(image, called[k])));
    this.chip = el("p", { class: "judged" });
    this.tabs = this.pictures.map((shown, k) => this.#tab(shown, k));
    this.element = el("section", { class: "pane", "aria-labelledby": id },
      el("header", {},
        el("h2", { id }, this.title, " ", el("span", { class: "quiet code" }, modality)),
        images.length > 1
          ? el("div", { class: "tabs", role: "tablist", "aria-label": `${this.title}: images` }, this.tabs)
          : null,
        this.chip),
      images.length ? this.#body() : this.#nothing());
    const grave = images.findIndex((image) => image.verdict === "positive");
    const first = Math.max(0, images.findIndex(isRead));
    if (images.length) this.choose(grave < 0 ? first : grave);
  }

  get shown() {
    return this.pictures[this.number];
  }

  choose(number) {
    this.number = number;
    this.pictures.forEach((shown, k) => {
      this.frames[k].classList.toggle("away", k !== number);
      this.tabs[k].setAttribute("aria-selected", String(k === number));
      this.tabs[k].tabIndex = k === number ? 0 : -1;
    });
    const { image } = this.shown;
    const kind = verdictKind(image);
    this.tabs[number].scrollIntoView({ block: "nearest" });
    this.element.classList.toggle("without-picture", !isRead(image));
    this.chip.replaceChildren(
      el("span", { class: `chip ${kind}` }, `${SYMBOL[kind]} ${verdictWords(image)}`),
      el("span", { class: "quiet" }, image.score === null ? "" : image.score.toFixed(3)));
    this.#showTone();
  }

  turn(by) {
    this.choose((this.number + by + this.pictures.length) % this.pictures.length);
    this.tabs[this.number].focus();
  }

  #tab(shown, k) {
    const kind = verdictKind(shown.image);
    return el("button", {
      type: "button", role: "tab", id: `tab-${shown.image.index}`,
      "aria-controls": `frame-${shown.image.index}`, "aria-label": `${shown.name}, ${verdictWords(shown.image)}`,
      onclick: () => this.choose(k),
      onkeydown: (event) => {
        const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (by) this.turn(by);
      },
    }, shown.label, el("span", { class: `symbol ${kind}`, "aria-hidden": "true" }, SYMBOL[kind]));
  }

  #body() {
    const several = this.pictures.length > 1;
    this.frames = this.pictures.map((shown) => el("div", {
      class: "frame", id: `frame-${shown.image.index}`,
      ...(several ? { role: "tabpanel", "aria-labelledby": `tab-${shown.image.index}` } : {}),
    }, el("h3", { class: "on-paper" }, isRead(shown.image)
      ? `${shown.name}: ${shown.image.verdict}, ${score(shown.image, this.result)}`
      : `${shown.name}: ${verdictWords(shown.image)}`),
    shown.surface));
    for (const shown of this.pictures) {
      shown.surface.addEventListener("keydown", (event) => this.#key(event));
    }
    this.level = this.#slider("Level", 0, 100);
    this.window = this.#slider("Window", 2, 200);
    const button = (text, label, act) =>
      el("button", { type: "button", title: label, "aria-label": `${label}: ${this.title}`, onclick: act }, text);
    return [
      el("div", { class: "frames" }, this.frames),
      el("div", { class: "tools", role: "group", "aria-label": `${this.title}: view` },
        el("label", {}, "Level", this.level), el("label", {}, "Window", this.window),
        button("↺", "Level and window as they were", () => this.shown.unshade()),
        el("span", { class: "gap" }),
        button("−", "Smaller", () => this.shown.zoom(1 / ZOOM)),
        button("+", "Larger", () => this.shown.zoom(ZOOM)),
        button("Fit", "The whole picture", () => this.shown.fit()),
        button("1:1", "One screen pixel per pixel", () => this.shown.actual())),
    ];
  }

  #nothing() {
    return el("div", { class: "missing" },
      el("p", { class: "big" }, `No ${TEST[this.modality]} was given.`),
      el("p", {}, "Without it the study is incomplete and never negative."));
  }

  #slider(name, min, max) {
    return el("input", {
      type: "range", min, max, step: 1, "aria-label": `${name}: ${this.title}`,
      oninput: () => this.shown.shade(Number(this.level.value), Number(this.window.value)),
    });
  }

  #showTone() {
    if (!this.level || this.number === undefined) return;
    this.level.value = Math.round(this.shown.tone.level);
    this.window.value = Math.round(this.shown.tone.window);
  }

  // Keys while the picture itself has the focus.
  #key(event) {
    if (event.target !== this.shown.surface || event.ctrlKey || event.metaKey || event.altKey) return;
    const arrows = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const arrow = arrows[event.key];
    const { tone } = this.shown;
    const act = {
      "+": () => this.shown.zoom(ZOOM), "=": () => this.shown.zoom(ZOOM),
      "-": () => this.shown.zoom(1 / ZOOM), "0": () => this.shown.fit(),
      "f": () => this.shown.fit(), "a": () => this.shown.actual(), "r": () => this.shown.unshade(),
      PageDown: () => this.#leaf(1), PageUp: () => this.#leaf(-1),
    }[event.key] ?? (arrow && (event.shiftKey
      ? () => this.shown.shade(tone.level + 2 * arrow[1], tone.window - 4 * arrow[0])
      : () => this.shown.move(STEP * arrow[0], STEP * arrow[1])));
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  #leaf(by) {
    if (this.pictures.length < 2) return;
    this.turn(by);
    this.shown.surface.focus();
  }
}
