// Single keys, and the dialog that lists them. They rest while something is typed, and for good
// where speech input or a shaky hand makes them a danger.

import { el } from "./dom.js";

const OFF = "mammosono-keys-off";

const HELP = [
  ["Anywhere", [
    ["N", "New reading"], ["L", "Show or hide the studies"], ["/", "Search the studies"], ["?", "This help"],
  ]],
  ["Reading", [
    ["J  K", "Next and previous finding"], ["Z", "Zoom to the chosen finding"], ["Esc", "Choose no finding"],
    ["D", "Original or denoised picture"], ["M", "Findings on the pictures: show or hide"],
    ["[  ]", "Masks fainter, stronger"], ["1  2", "To the mammogram, to the ultrasound"],
  ]],
  ["In a picture", [
    ["+  −", "Larger, smaller"], ["0", "The whole picture"], ["A", "One screen pixel per pixel"],
    ["← ↑ → ↓", "Move"], ["Shift ← →", "Window: narrower, wider"], ["Shift ↑ ↓", "Level: up, down"],
    ["R", "Level and window as they were"], ["Page ↑ ↓", "Previous and next picture of this test"],
  ]],
  ["With the mouse", [
    ["Drag", "Move"], ["Wheel", "Zoom"], ["Right drag", "Window and level (also Shift and drag)"],
    ["Double click", "One to one, and back"],
  ]],
];

export class Keys {
  // actions: Map of key -> function, asked for at each key.
  constructor(actions) {
    this.dialog = el("dialog", { class: "help", "aria-labelledby": "help-title" },
      el("header", {}, el("h2", { id: "help-title" }, "Keys and mouse"),
        el("button", { type: "button", "aria-label": "Close", autofocus: true, onclick: () => this.dialog.close() }, "×")),
      el("div", { class: "columns" }, HELP.map(([title, rows]) => el("section", {},
        el("h3", {}, title),
        el("dl", {}, rows.map(([keys, words]) => [el("dt", {}, keys.split("  ").map((key) => el("kbd", {}, key))), el("dd", {}, words)]))))),
      el("label", {}, this.#toggle(), "Single-key shortcuts"));
    document.body.append(this.dialog);
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (document.querySelector("dialog[open]") || typing(event.target)) return;
      if (stored() && event.key !== "Escape") return;
      const act = actions().get(event.key.length === 1 ? event.key.toLowerCase() : event.key);
      if (!act) return;
      event.preventDefault();
      act();
    });
  }

  show() {
    if (!this.dialog.open) this.dialog.showModal();
  }

  #toggle() {
    return el("input", {
      type: "checkbox", checked: !stored(), onchange: (event) => store(!event.target.checked),
    });
  }
}

const typing = (target) => target.matches("textarea, select, input:not([type=range], [type=checkbox])");

// A browser may forbid to store anything; then the keys are on.
function stored() {
  try {
    return localStorage.getItem(OFF) === "1";
  } catch {
    return false;
  }
}

function store(off) {
  try {
    localStorage.setItem(OFF, off ? "1" : "0");
  } catch {
    // for this time only
  }
}
