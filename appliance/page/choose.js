// The images of a new study: chosen, checked, sent. Nothing chosen is lost by an error.

import { el, say } from "./dom.js";
import { problemWords } from "./progress.js";
import { send } from "./send.js";
import { A_TEST, MODALITIES, TEST, bytes, capital, culprit } from "./words.js";

const PREVIEW_BYTES = 24e6;
const REFERENCE = "(?!\\.{1,2}$)[A-Za-z0-9._\\-]{1,64}";

export class Choice {
  // on: {taken(id), refused(problem)}; refused: nobody is signed in any more.
  constructor(on) {
    this.on = on;
    this.most = Infinity; // of a test; the box says it
    this.zones = Object.fromEntries(MODALITIES.map((modality) => [modality, this.#zone(modality)]));
    this.what = el("p", { class: "quiet" }, "The images of one patient: DICOM, PNG, JPEG or TIFF.");
    this.problem = el("div", { class: "problem-place" });
    this.told = el("p", { class: "told", role: "status" });
    this.hint = el("p", { class: "quiet hint" });
    this.reference = el("input", {
      id: "reference", name: "reference", maxlength: 64, pattern: REFERENCE, autocomplete: "off",
      spellcheck: "false", "aria-describedby": "reference-hint", oninput: () => this.#changed(),
    });
    this.submit = el("button", { class: "primary", id: "read" }, "Read");
    this.cancel = el("button", { type: "button", onclick: () => this.sending?.abort() }, "Cancel");
    this.bar = el("progress", { max: 1, value: 0, "aria-label": "Sent" });
    this.sent = el("span", { role: "status" });
    this.going = el("div", { class: "going", hidden: true }, this.bar, this.sent, this.cancel);
    this.element = el("form", {
      class: "choose", novalidate: true, "aria-labelledby": "choose",
      onsubmit: (event) => { event.preventDefault(); this.#send(); },
    },
    el("h1", { id: "choose", tabindex: "-1" }, "New reading"),
    this.what,
    this.problem,
    el("div", { class: "zones" }, Object.values(this.zones).map((zone) => zone.element)),
    this.told,
    el("div", { class: "last" },
      el("div", { class: "field" },
        el("label", { for: "reference" }, "Reference ", el("span", { class: "quiet" }, "(optional)")),
        this.reference,
        el("p", { class: "quiet hint", id: "reference-hint" },
          "To find the study in the list: letters, digits and . _ - only. Never a patient's name or number.")),
      el("div", { class: "act" }, this.hint, this.going, this.submit)));
    this.clear();
  }

  // most: images of a test that the box takes in a study.
  limit(most) {
    if (most === this.most) return;
    this.most = most;
    this.what.textContent = `The images of one patient: DICOM, PNG, JPEG or TIFF, up to ${most} of each test.`;
    this.#changed();
  }

  clear() {
    this.sending?.abort();
    for (const { chips } of Object.values(this.zones)) for (const chip of [...chips]) this.#drop(chip);
    this.reference.value = "";
    this.id = null;
    this.problem.replaceChildren();
    this.#changed();
  }

  // The study of this id is read: what was chosen for it is not needed any more.
  done(id) {
    if (id === this.id && !this.sending) this.clear();
  }

  holds(id) {
    return id === this.id && this.#count() > 0;
  }

  // Back from a study that failed: say why, where it was chosen.
  refuse(problem) {
    this.#forgive();
    const words = problemWords(problem);
    const [modality, number] = culprit(problem) ?? [];
    const chip = modality && this.zones[modality].chips[number];
    if (chip) {
      chip.element.classList.add("bad");
      chip.words.textContent = problem.title;
      words.append(el("p", { class: "quiet" }, `Marked: ${chip.file.name}`));
    }
    this.problem.replaceChildren(words);
    words.querySelector("h2").focus();
  }

  add(modality, files) {
    const { chips } = this.zones[modality];
    const told = [];
    for (const file of files) {
      const known = (chip) => ["name", "size", "lastModified"].every((key) => chip.file[key] === file[key]);
      if (!file.size) told.push(`${file.name} is empty and was not taken.`);
      else if (chips.some(known)) told.push(`${file.name} is chosen already.`);
      else if (chips.length >= this.most) told.push(`${file.name} was not taken: at most ${this.most} of a test.`);
      else this.#append(modality, file);
    }
    this.#changed();
    say(this.told, told.join(" "));
  }

  #zone(modality) {
    const id = `zone-${modality}`;
    const zone = { chips: [], list: el("ul", { class: "chips" }) };
    zone.input = el("input", {
      type: "file", multiple: true, "aria-label": `Choose ${TEST[modality]} images`,
      onchange: () => { this.add(modality, [...zone.input.files]); zone.input.value = ""; },
    });
    zone.element = el("section", { class: "zone", "aria-labelledby": id },
      el("h2", { id }, capital(TEST[modality]), " ", el("span", { class: "quiet" }, modality)),
      zone.list,
      el("label", { class: "drop" }, zone.input,
        el("span", {}, "Drop images here, or ", el("span", { class: "link" }, "choose files"))));
    const over = (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      event.stopPropagation();
      zone.element.classList.add("over");
    };
    zone.element.addEventListener("dragenter", over);
    zone.element.addEventListener("dragover", over);
    zone.element.addEventListener("dragleave", (event) => {
      if (!zone.element.contains(event.relatedTarget)) zone.element.classList.remove("over");
    });
    zone.element.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      zone.element.classList.remove("over");
      if (!this.sending) this.add(modality, [...event.dataTransfer.files]);
    });
    return zone;
  }

  #append(modality, file) {
    const zone = this.zones[modality];
    const other = MODALITIES.find((one) => one !== modality);
    const words = el("span", { class: "bad-words" });
    const chip = { modality, file, words, url: null };
    chip.element = el("li", { class: "chip-file" },
      this.#preview(chip),
      el("span", { class: "name", title: file.name }, file.name, el("small", {}, bytes(file.size)), words),
      el("button", {
        type: "button", title: `Move to ${TEST[other]}`, "aria-label": `Move ${file.name} to ${TEST[other]}`,
        onclick: () => this.#move(chip, other),
      }, "⇄"),
      el("button", {
        type: "button", title: "Remove", "aria-label": `Remove ${file.name}`,
        onclick: () => { this.#drop(chip); this.#changed(); this.#refocus(zone); },
      }, "×"));
    zone.chips.push(chip);
    zone.list.append(chip.element);
  }

  #preview(chip) {
    const plain = el("span", { class: "preview", "aria-hidden": "true" }, chip.modality);
    if (!/^image\/(png|jpeg)$/.test(chip.file.type) || chip.file.size > PREVIEW_BYTES) return plain;
    chip.url = URL.createObjectURL(chip.file);
    const shown = el("img", { class: "preview", alt: "", onerror: () => shown.replaceWith(plain) });
    shown.src = chip.url;
    return shown;
  }

  #move(chip, other) {
    this.#drop(chip);
    this.add(other, [chip.file]);
    this.#refocus(this.zones[other]);
  }

  #drop(chip) {
    const { chips } = this.zones[chip.modality];
    chips.splice(chips.indexOf(chip), 1);
    chip.element.remove();
    if (chip.url) URL.revokeObjectURL(chip.url);
    if (chip.element.classList.contains("bad")) this.#forgive();
  }

  // No file is marked, and nothing is said of one.
  #forgive() {
    this.problem.replaceChildren();
    for (const { chips } of Object.values(this.zones)) {
      for (const { element, words } of chips) {
        element.classList.remove("bad");
        words.replaceChildren();
      }
    }
  }

  #refocus(zone) {
    (zone.list.querySelector("li:last-child button:last-child") ?? zone.input).focus();
  }

  #count() {
    return Object.values(this.zones).reduce((sum, { chips }) => sum + chips.length, 0);
  }

  // Other images, or another reference: another study.
  #changed() {
    this.id = null;
    say(this.told, "");
    const missing = MODALITIES.filter((modality) => !this.zones[modality].chips.length);
    for (const { chips, element } of Object.values(this.zones)) {
      element.classList.toggle("full", chips.length >= this.most);
    }
    say(this.hint, missing.length === 1
      ? `Without ${A_TEST[missing[0]]} the reading is incomplete and never negative.`
      : "");
    this.submit.disabled = missing.length === 2;
  }

  async #send() {
    if (this.sending) return;
    if (!this.reference.checkValidity()) {
      this.refuse({
        title: "The reference cannot be used",
        detail: "Use 1 to 64 of the characters A-Z a-z 0-9 . _ - in it.",
        code: "invalid_study_id",
      });
      return;
    }
    this.#forgive();
    this.id ??= this.reference.value || newId();
    this.sending = new AbortController();
    this.#busy(true);
    const { id } = this;
    try {
      const taken = await this.#insist(id);
      this.sending = null;
      this.on.taken(taken);
    } catch (problem) {
      this.sending = null;
      if (problem.stranger) this.on.refused(problem);
      else if (problem.name !== "AbortError") this.refuse(problem);
    } finally {
      this.#busy(false);
    }
  }

  // While the queue is full, again when the box says so.
  async #insist(id) {
    const files = MODALITIES.flatMap((modality) =>
      this.zones[modality].chips.map((chip) => [modality, chip.file]));
    const { signal } = this.sending;
    const progress = (share) => {
      this.bar.value = share;
      say(this.sent, share < 1 ? `Sending ${Math.floor(100 * share)} %` : "Sent; the box looks at it …");
    };
    for (;;) {
      progress(0);
      try {
        return await send(files, id, { progress, signal });
      } catch (problem) {
        if (problem.code !== "queue_full") throw problem;
        this.problem.replaceChildren(problemWords(problem));
        await this.#countDown(problem.retryAfter ?? 5, signal);
        this.problem.replaceChildren();
      }
    }
  }

  async #countDown(seconds, signal) {
    this.bar.removeAttribute("value");
    for (let left = seconds; left > 0; left--) {
      say(this.sent, `Sent again in ${left} s`);
      await new Promise((resolve) => { setTimeout(resolve, 1000); });
      if (signal.aborted) throw new DOMException("cancelled", "AbortError");
    }
  }

  #busy(busy) {
    this.going.hidden = !busy;
    this.submit.hidden = busy;
    this.element.classList.toggle("busy", busy);
    this.element.setAttribute("aria-busy", String(busy));
    this.reference.disabled = busy;
    for (const { element } of Object.values(this.zones)) element.inert = busy;
  }
}

// When it was made, and 40 random bits: good to read in a list, and nobody else's.
function newId(now = new Date()) {
  const two = (number) => String(number).padStart(2, "0");
  const day = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`;
  const random = crypto.getRandomValues(new Uint8Array(8));
  const letters = [...random].map((byte) => "abcdefghijkmnpqrstuvwxyz23456789"[byte % 32]).join("");
  return `${day}-${two(now.getHours())}${two(now.getMinutes())}-${letters}`;
}
