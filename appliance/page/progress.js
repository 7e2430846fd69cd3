// A study on its way, and one that will not arrive: never anything that could be taken for a verdict.

import { el, say } from "./dom.js";
import { SYMBOL, STATUS, step } from "./words.js";

const STEPS = [["queued", "Waiting for its turn"], ["reading", "Being read"], ["done", "Ready"]];

export class Progress {
  constructor(id) {
    this.began = Date.now();
    this.items = new Map(STEPS.map(([status, words]) => [status, el("li", {}, words)]));
    this.now = el("p", { class: "unseen", role: "status" });
    this.seconds = el("p", { class: "quiet seconds" });
    this.element = el("article", { class: "notice progress", "aria-labelledby": "progress" },
      el("h1", { id: "progress", tabindex: "-1" }, "No result yet"),
      el("p", { class: "quiet id" }, id),
      el("ol", { class: "steps" }, el("li", { class: "past" }, "Taken"), [...this.items.values()]),
      this.seconds,
      this.now,
      el("p", {}, "The box keeps the study and reads on, even if this page is closed."));
  }

  show(status) {
    const order = STEPS.findIndex(([one]) => one === status);
    STEPS.forEach(([one], k) => {
      this.items.get(one).className = k < order ? "past" : k === order ? "now" : "";
      this.items.get(one).toggleAttribute("aria-current", k === order);
    });
    say(this.now, `The study is ${STATUS[status]}.`);
    this.tick();
  }

  tick() {
    const seconds = Math.round((Date.now() - this.began) / 1000);
    say(this.seconds, seconds > 1 ? `${seconds} s` : "");
  }
}

// A study that failed: no verdict, why, and what to do. change: () => void or null, back to the files.
export function failure(id, problem, change) {
  return el("article", { class: "reading failed", "aria-labelledby": "verdict" },
    el("header", { class: "banner failed" },
      el("h1", { id: "verdict", tabindex: "-1" }, el("span", { class: "sign", "aria-hidden": "true" }, SYMBOL.failed), "Not read"),
      el("p", { class: "why" }, "There is no verdict for this study."),
      el("p", { class: "which" }, el("span", { class: "id" }, id))),
    el("div", { class: "notice" }, problemWords(problem, change ? undefined : "To have it read, send its images again."),
      change && el("button", { type: "button", class: "primary", onclick: change }, "Change the images")));
}

// A study that cannot be shown; its verdict is not known to this page.
export function trouble(problem, again) {
  return el("article", { class: "notice" },
    problemWords(problem),
    again && el("button", { type: "button", class: "primary", onclick: again }, "Try again"));
}

// advice: what to do, unless the code says it.
export function problemWords({ title, detail, code }, advice = step(code)) {
  return el("div", { class: "problem", role: "alert" },
    el("h2", { tabindex: "-1" }, title), detail && el("p", {}, detail), el("p", {}, advice));
}
