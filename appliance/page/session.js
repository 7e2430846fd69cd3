// Signing in with a token, and out.

import { ask, json } from "./api.js";
import { el } from "./dom.js";
import { problemWords } from "./progress.js";

// Who is signed in: {name, roles, open}. Throws a Problem, 401 if nobody is.
export const whoAmI = (signal) => json("/v1/session", { signal });

export const signOut = () => ask("/v1/session", { method: "DELETE" });

export class SignIn {
  // entered: (who).
  constructor(entered) {
    this.entered = entered;
    this.token = el("input", {
      id: "token", type: "password", name: "token", autocomplete: "off", required: true,
      maxlength: 512, spellcheck: "false", autocapitalize: "off",
    });
    this.button = el("button", { class: "primary" }, "Sign in");
    this.problem = el("div");
    this.element = el("form", {
      class: "notice sign-in", "aria-labelledby": "sign-in", novalidate: true,
      onsubmit: (event) => { event.preventDefault(); this.#enter(); },
    },
    el("h1", { id: "sign-in", tabindex: "-1" }, "Sign in"),
    this.problem,
    el("label", { for: "token" }, "Token"),
    this.token,
    el("p", { class: "quiet hint" }, "The technician makes one with ", el("code", {}, "mammosono token add"),
      ". It is kept by this browser for a working day."),
    this.button);
  }

  // problem: why signing in again is needed, or null.
  begin(problem = null) {
    this.token.value = "";
    this.problem.replaceChildren(...(problem ? [problemWords(problem)] : []));
    this.token.focus();
  }

  async #enter() {
    const token = this.token.value.trim();
    if (!token) return this.token.focus();
    this.button.disabled = true;
    try {
      this.entered(await json("/v1/session", { method: "POST", body: { token } }));
    } catch (problem) {
      const wait = problem.retryAfter ? { detail: `Wait ${problem.retryAfter} seconds.` } : {};
      this.problem.replaceChildren(problemWords({ title: problem.title, detail: problem.detail, code: problem.code, ...wait }));
      this.token.select();
    } finally {
      this.button.disabled = false;
    }
  }
}
