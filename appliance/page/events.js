// What happens to studies, as it happens: /v1/events, asked for again whenever it ends.

import { ask } from "./api.js";

const SILENCE_MS = 40_000; // the box speaks at least every 15 seconds
const PAUSES_MS = [500, 1000, 2000, 4000, 8000];

// heard: () for every change of a study. connected: (true | false). refused: (problem) when the
// box does not let us listen any more. Returns a function that ends it.
export function listen({ heard, connected, refused }) {
  const ending = new AbortController();
  (async () => {
    for (let failures = 0; !ending.signal.aborted; ) {
      try {
        await follow(ending.signal, () => { failures = 0; connected(true); heard(); }, heard);
      } catch (problem) {
        if (ending.signal.aborted) return;
        if (problem.stranger || problem.status === 403) return refused(problem);
        failures += 1;
      }
      if (ending.signal.aborted) return;
      if (failures > 0) connected(false);
      await pause(PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)], ending.signal);
    }
  })();
  return () => ending.abort();
}

async function follow(ending, opened, heard) {
  const attempt = new AbortController();
  const stop = () => attempt.abort();
  ending.addEventListener("abort", stop);
  let watchdog = setTimeout(stop, SILENCE_MS);
  try {
    const answer = await ask("/v1/events", { signal: attempt.signal, accept: "text/event-stream" });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    opened();
    for (let rest = ""; ; ) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(watchdog);
      watchdog = setTimeout(stop, SILENCE_MS);
      const messages = (rest + value).split("\n\n");
      rest = messages.pop();
      if (messages.some((message) => message.startsWith("event: study\n"))) heard();
    }
  } finally {
    clearTimeout(watchdog);
    ending.removeEventListener("abort", stop);
  }
}

const pause = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
});
