// The studies of the box, newest first: searched, filtered, followed.

import { json } from "./api.js";
import { el, say } from "./dom.js";
import { STATUS, SYMBOL, age } from "./words.js";

const PAGE = 50;
const TYPING_MS = 250;

export class List {
  // refused: (problem) when the box does not know who asks.
  constructor(refused) {
    this.refused = refused;
    this.search = el("input", {
      type: "search", id: "search", maxlength: 64, placeholder: "Search", autocomplete: "off",
      spellcheck: "false", "aria-label": "Search studies", oninput: () => this.#soon(TYPING_MS),
    });
    this.status = el("select", { "aria-label": "Status", onchange: () => this.refresh() },
      el("option", { value: "" }, "All"),
      Object.entries(STATUS).map(([status, words]) => el("option", { value: status }, words)));
    this.rows = el("ul", { class: "studies" });
    this.told = el("p", { class: "quiet told", role: "status" });
    this.more = el("button", { type: "button", hidden: true, onclick: () => this.#longer() }, "Show more");
    this.element = el("div", { class: "list" },
      el("div", { class: "filter" }, this.search, this.status), this.rows, this.told, this.more);
    this.length = PAGE;
    this.asked = 0;
  }

  clear() {
    this.asked += 1;
    this.rows.replaceChildren();
    this.search.value = this.status.value = "";
    this.length = PAGE;
    say(this.told, "");
  }

  // Marks the study that is shown.
  choose(id) {
    this.chosen = id;
    for (const link of this.rows.querySelectorAll("a")) {
      link.toggleAttribute("aria-current", link.dataset.id === id);
    }
  }

  // Asks the box; an answer that a later question has overtaken is dropped.
  async refresh() {
    const number = ++this.asked;
    const query = new URLSearchParams({ limit: this.length, search: this.search.value.trim() });
    if (this.status.value) query.set("status", this.status.value);
    try {
      const { studies, next } = await json(`/v1/studies?${query}`);
      if (number !== this.asked) return;
      this.#fill(studies);
      this.more.hidden = next === null || this.length >= 1000;
      this.element.classList.remove("stale");
    } catch (problem) {
      if (number !== this.asked) return;
      if (problem.stranger) return this.refused(problem);
      this.element.classList.add("stale");
      say(this.told, `The list may be out of date. ${problem.title}.`);
    }
  }

  #fill(studies) {
    const focused = document.activeElement?.dataset?.id;
    this.rows.replaceChildren(...studies.map((study) => this.#row(study)));
    if (focused && !this.rows.contains(document.activeElement)) {
      this.rows.querySelector(`a[data-id="${CSS.escape(focused)}"]`)?.focus();
    }
    const filtered = this.search.value.trim() || this.status.value;
    say(this.told, studies.length ? "" : filtered ? "No study fits." : "No studies yet.");
  }

  #row({ id, status, verdict, posted }) {
    const kind = status === "done" ? verdict : status;
    const words = status === "done" ? verdict : STATUS[status];
    return el("li", {}, el("a", {
      href: `#study=${id}`, "data-id": id, "aria-current": id === this.chosen ? "page" : null,
    },
    el("span", { class: "id" }, id),
    el("span", { class: "state", "data-kind": kind }, el("span", { class: "sign", "aria-hidden": "true" }, SYMBOL[kind] ?? "…"), words),
    el("time", { datetime: posted }, age(posted))));
  }

  #longer() {
    this.length = Math.min(1000, this.length + PAGE);
    this.refresh();
  }

  #soon(ms) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), ms);
  }
}
