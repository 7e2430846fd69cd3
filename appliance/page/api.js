// Questions to the box. Whatever goes wrong is a Problem: title, detail, code, status.

export class Problem extends Error {
  // status 0: no answer at all. retryAfter: seconds, or null.
  constructor({ title, detail, code, status }, retryAfter = null) {
    super(detail ?? title);
    Object.assign(this, { title, detail, code, status, retryAfter });
  }

  get lost() { return this.status === 0; }

  // Whether the box does not know, any more, who asks.
  get stranger() { return this.status === 401 || this.code === "too_many_attempts"; }
}

export const lostBox = () => new Problem({
  title: "The box does not answer",
  detail: "It may be restarting, or the network is interrupted.",
  code: "no_answer",
  status: 0,
});

// The answer to a request of this page. Throws a Problem for every other answer than 2xx.
export async function ask(path, { method = "GET", body, signal, accept = "application/json" } = {}) {
  const headers = { Accept: accept };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method, headers, signal, cache: "no-store", body: body && JSON.stringify(body),
    });
  } catch (error) {
    throw error.name === "AbortError" ? error : lostBox();
  }
  if (!answer.ok) throw problemOf(answer.status, await text(answer), answer.headers.get("Retry-After"));
  return answer;
}

export async function json(path, options) {
  const answer = await ask(path, options);
  try {
    return await answer.json();
  } catch (error) {
    throw error.name === "AbortError" ? error : lostBox();
  }
}

export async function picture(path, signal) {
  const answer = await ask(path, { signal, accept: "image/png" });
  try {
    return await answer.blob();
  } catch (error) {
    throw error.name === "AbortError" ? error : lostBox();
  }
}

export function problemOf(status, body, retryAfter) {
  const seconds = Number.parseInt(retryAfter ?? "", 10);
  const wait = Number.isFinite(seconds) ? Math.max(1, seconds) : null;
  try {
    const { title, detail, code } = JSON.parse(body);
    if (title && code) return new Problem({ title, detail, code, status }, wait);
  } catch {
    // Not ours: a proxy's own page, perhaps.
  }
  const title = "The box gave an answer that this page does not know";
  return new Problem({ title, detail: `Status ${status}.`, code: "unknown", status }, wait);
}

export const studyPath = (id) => `/v1/studies/${encodeURIComponent(id)}`;

const text = (answer) => answer.text().catch(() => "");
