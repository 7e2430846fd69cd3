// One study of the box, from its taking to its reading. What is shown of it is always of it: the
// place is emptied before another study is asked for.

import { json, Problem, studyPath } from "./api.js";
import { el } from "./dom.js";
import { Progress, failure, trouble } from "./progress.js";
import { Reading } from "./reading.js";
import { consistent } from "./words.js";

const LOOK_MS = 5000;

// A result that the page does not show.
class Unshown extends Problem {
  constructor(title, detail) {
    super({ title, detail, code: "unknown", status: 200 });
  }
}

export class StudyView {
  // page: {show(element, title), refused(problem), readBy(model | null), choice, change(problem)}
  constructor(id, page) {
    Object.assign(this, { id, page });
    this.ending = new AbortController();
    this.page.show(el("p", { class: "notice quiet" }, "Loading the study …"), id);
    this.ticking = setInterval(() => this.#tick(), 1000);
    this.heard();
  }

  close() {
    this.ending.abort();
    this.shown?.abort();
    clearInterval(this.ticking);
  }

  // Something happened to some study, or the box is back.
  heard() {
    this.again = true;
    if (!this.looking) this.#look();
  }

  async #look() {
    this.looking = true;
    while (this.again && !this.ending.signal.aborted) {
      this.again = false;
      try {
        await (this.settled ? this.#check() : this.#ask());
      } catch (problem) {
        this.#fail(problem);
      }
    }
    this.looking = false;
  }

  async #ask() {
    const { signal } = this.ending;
    const entry = await this.#entry();
    const waits = entry?.status === "queued" || entry?.status === "reading";
    const document = waits ? entry : await json(studyPath(this.id), { signal });
    if (signal.aborted) return;
    // What is looked up before the result can only be older: then the next look sees the new one.
    this.posted = entry?.posted ?? null;
    if (document.status === "done") this.#read(document, this.posted);
    else if (document.status === "failed") this.#failed(document.problem);
    else this.#progress(document.status);
  }

  #read(result, posted) {
    this.settled = "done";
    try {
      // Never a verdict that the images do not bear out.
      if (result.id !== this.id || !consistent(result)) throw new Unshown(
        "This result contradicts itself",
        "Its verdict does not follow from its images, so it is not shown.",
      );
      this.shown = new AbortController();
      this.reading = new Reading(result, posted, this.shown.signal);
    } catch (problem) {
      this.shown?.abort();
      // Of another version, say: half a reading could hide a finding.
      const why = problem instanceof Unshown ? problem : new Unshown(
        "This result cannot be shown",
        "Part of it is missing or unknown to this page. Reload the page; if that does not help, "
          + "page and box are of different versions.",
      );
      this.page.show(trouble(why), this.id);
      return;
    }
    this.page.choice.done(this.id);
    this.page.readBy(result.model);
    this.page.show(this.reading.element, `${result.verdict}: ${this.id}`);
  }

  #failed(problem) {
    this.settled = "failed";
    const change = this.page.choice.holds(this.id) ? () => this.page.change(problem) : null;
    this.page.show(failure(this.id, problem, change), `not read: ${this.id}`);
  }

  #progress(status) {
    if (!this.progress) {
      this.progress = new Progress(this.id);
      this.page.show(this.progress.element, this.id);
    }
    this.progress.show(status);
  }

  // A settled study changes only by being deleted, or posted anew. It is looked up in the list:
  // asking for the result again would be written down as another viewing.
  async #check() {
    const entry = await this.#entry();
    if (this.ending.signal.aborted) return;
    if (entry?.status === this.settled && entry.posted === this.posted) return;
    if (entry) {
      this.#forget(null);
      this.page.show(el("p", { class: "notice quiet" }, "Loading the study …"), this.id);
      this.again = true;
      return;
    }
    if (this.settled === "gone") return;
    this.#forget("gone");
    const problem = new Problem({
      title: "This study was deleted", detail: "The box does not hold it any more.",
      code: "unknown_study", status: 404,
    });
    this.page.show(trouble(problem), this.id);
  }

  // Nothing of what was shown stays.
  #forget(settled) {
    this.shown?.abort();
    this.settled = settled;
    this.progress = this.reading = null;
    this.page.readBy(null);
  }

  async #entry() {
    const query = new URLSearchParams({ search: this.id, limit: 1000 });
    const { studies } = await json(`/v1/studies?${query}`, { signal: this.ending.signal });
    return studies.find(({ id }) => id === this.id);
  }

  #fail(problem) {
    if (this.ending.signal.aborted) return;
    if (problem.stranger) this.page.refused(problem);
    else if (this.settled || (this.progress && problem.lost)) return; // what is shown stays true
    else {
      this.progress = null;
      this.page.show(trouble(problem, () => this.heard()), this.id);
    }
  }

  #tick() {
    if (this.settled || !this.progress) return;
    this.progress.tick();
    if (Date.now() - (this.looked ?? this.progress.began) > LOOK_MS) {
      this.looked = Date.now();
      this.heard();
    }
  }
}
