// The chosen images to the box, with how much of them is on its way.

import { ask, lostBox, Problem, problemOf } from "./api.js";
import { TEST } from "./words.js";

// Resolves to the id of the taken study. files: [[modality, File]]. progress: (share 0 to 1).
// The id makes it safe to send again: the same images under the same id are one study.
export async function send(files, id, { progress, signal }) {
  const form = new FormData();
  form.append("study_id", id);
  // With its file name, by which the reading calls it.
  for (const [modality, file] of files) form.append(TEST[modality], file, file.name);
  const { status, body, retryAfter } = await post(form, progress, signal);
  if (status === 0) throw await cutOff(files);
  if (status < 200 || status > 299) throw problemOf(status, body, retryAfter);
  return JSON.parse(body).id;
}

// XMLHttpRequest, as fetch does not tell how much was sent.
function post(form, progress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const settle = () => resolve({
      status: request.status,
      body: request.responseText,
      retryAfter: request.getResponseHeader("Retry-After"),
    });
    request.open("POST", "/v1/studies?wait=0");
    request.setRequestHeader("Accept", "application/json");
    request.upload.onprogress = ({ loaded, total }) => progress(total ? loaded / total : 0);
    request.onload = settle;
    request.onerror = settle;
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

// No answer came: the box is away, a file cannot be read, or the box hung up on too much.
async function cutOff(files) {
  try {
    for (const [, file] of files) await file.slice(0, 1).arrayBuffer();
  } catch {
    return new Problem({
      title: "A chosen file cannot be read any more",
      detail: "It was changed, moved or removed since it was chosen; choose it again.",
      code: "empty_file",
      status: 0,
    });
  }
  try {
    await ask("/healthz");
  } catch {
    return lostBox();
  }
  return new Problem({
    title: "The box hung up before it had all images",
    detail: "They may be more than it takes at once, or the network was interrupted.",
    code: "body_too_large",
    status: 0,
  });
}
