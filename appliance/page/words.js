// What is said in words, the same as in appliance/output/wording.py and the report.

// As in appliance/modality.py: in the order shown, the name of each and of its part in the form.
export const MODALITIES = ["MG", "US"];
export const TEST = { MG: "mammogram", US: "ultrasound" };
export const A_TEST = { MG: "a mammogram", US: "an ultrasound" };
export const SIDES = { L: "left", R: "right" };
export const VERDICTS = ["positive", "negative", "indeterminate"];
export const SYMBOL = { positive: "+", negative: "−", indeterminate: "?", failed: "×", unread: "×" };
export const STATUS = { queued: "waiting", reading: "being read", done: "read", failed: "not read" };

export const NOT_READ = STATUS.failed;

// Of an image without a verdict: it could not be read.
export const isRead = (image) => image.verdict !== null;
export const verdictWords = (image) => (isRead(image) ? image.verdict : NOT_READ);
export const verdictKind = (image) => (isRead(image) ? image.verdict : "unread");

export const capital = (word) => word[0].toUpperCase() + word.slice(1);

// Why the fused verdict is what it is, and what is missing.
export function reason(result) {
  const given = new Set(result.images.map((image) => image.modality));
  const read = new Set(result.images.filter(isRead).map((image) => image.modality));
  const decided = result.decided_by.filter((code) => read.has(code)).map((code) => TEST[code]);
  const sentences = [];
  if (decided.length) {
    const verb = decided.length === 1 ? "is" : "are";
    sentences.push(`The ${decided.join(" and ")} ${verb} ${result.verdict}.`);
  }
  for (const code of MODALITIES.filter((one) => !read.has(one))) {
    sentences.push(`No ${TEST[code]} ${given.has(code) ? "could be read" : "was given"}.`);
  }
  return sentences.join(" ");
}

// What the reader must know of this verdict, or null.
export function caution(result) {
  if (result.verdict !== "positive" && !result.images.every(isRead)) {
    return "This is no all-clear.";
  }
  if (result.incomplete && result.verdict !== "positive") {
    return "This is no all-clear: one of the two tests is missing.";
  }
  if (result.verdict === "indeterminate") {
    const undecided = result.images.some((image) => image.verdict === "indeterminate");
    return undecided ? "This is no all-clear: an image could not be decided." : "This is no all-clear.";
  }
  return null;
}

// The image's score; where its breast was judged by several views together, the breast's.
export function score(image, result) {
  if (image.score === null) return "no score";
  const breast = (result.breasts ?? []).find((each) => each.images.includes(image.index));
  const rule = result.model.scoring?.[image.modality]?.breast;
  if (breast && rule) {
    const side = SIDES[breast.laterality];
    return `${side} breast by ${breast.images.length} views ${breast.score.toFixed(3)}, ` +
      `positive from ${rule.operating_point.toFixed(3)}; this view ${image.score.toFixed(3)}`;
  }
  const from = result.model.operating_points[image.modality];
  return `score ${image.score.toFixed(3)}` + (from === undefined ? "" : `, positive from ${from.toFixed(3)}`);
}

// What each image of a modality is called: its side and view where they are known, else its number;
// what two images would be called has a number of its own behind it.
export function labels(images) {
  const own = images.map(({ laterality, view }, k) =>
    [laterality, view].filter(Boolean).join(" ") || String(k + 1));
  return own.map((label, k) => {
    const alike = own.filter((other) => other === label).length;
    return alike > 1 ? `${label} (${own.slice(0, k).filter((other) => other === label).length + 1})` : label;
  });
}

// Who said which side and view it shows, where that was not its header; or nothing.
export function origin({ laterality_from: side, view_from: view }) {
  const who = { form: "as posted", file_name: "by file name" };
  return [...new Set([side, view].map((one) => who[one]).filter(Boolean))].join(", ");
}

// Diameter and area where the pixel size is known, else the area in pixels.
export function size(finding) {
  if (finding.diameter_mm === null || finding.area_mm2 === null) return [`${finding.area_px} px²`];
  return [`${finding.diameter_mm.toFixed(1)} mm`, `${finding.area_mm2.toFixed(1)} mm²`];
}

export const centre = (finding) =>
  `x ${finding.centroid[0].toFixed(0)}, y ${finding.centroid[1].toFixed(0)}`;

export function noFindings(image) {
  return image.verdict === "indeterminate" ? "This image could not be decided." : "No finding.";
}

export function denoising({ method, parameters, noise_before: before, noise_after: after }) {
  const settings = Object.entries(parameters).map(([name, value]) => `${name} ${value}`).join(", ");
  const words = method + (settings && ` (${settings})`);
  if (before === null || after === null) return words;
  return `${words}; noise ${before.toFixed(2)} before, ${after.toFixed(2)} after`;
}

// Whether the fused verdict follows from the images; a warning on the study may make a negative
// indeterminate. What does not follow is never shown as a verdict.
export function consistent(result) {
  const of = (seen) => {
    if (seen.includes("positive")) return "positive";
    return seen.length && seen.every((verdict) => verdict === "negative") ? "negative" : "indeterminate";
  };
  const known = result.images.every((image) =>
    MODALITIES.includes(image.modality) && (VERDICTS.includes(image.verdict)
      || (image.verdict === null && image.warnings.length > 0)));
  const each = MODALITIES.map((code) =>
    of(result.images.filter((image) => image.modality === code).map((image) => image.verdict ?? "indeterminate")));
  const withheld = of(each) === "negative" && result.verdict === "indeterminate";
  return known && (of(each) === result.verdict || (withheld && result.warnings?.length > 0));
}

export function age(iso, now = Date.now()) {
  const then = new Date(iso);
  const minutes = Math.floor((now - then) / 60_000);
  const clock = then.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  if (minutes < 1 && minutes > -5) return "just now";
  if (minutes > 0 && minutes < 60) return `${minutes} min ago`;
  if (new Date(now).toDateString() === then.toDateString()) return `today ${clock}`;
  return `${then.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${clock}`;
}

export const when = (iso) =>
  new Date(iso).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });

export const bytes = (count) =>
  count < 1e6 ? `${Math.max(1, Math.round(count / 1e3))} kB` : `${(count / 1e6).toFixed(1)} MB`;

const ANOTHER_FILE = "Remove the marked file, choose a better one, and send again.";
const SEND_AGAIN = "Nothing of your choice is lost: send it again.";
const CALL = "If it stays so, call the technician who looks after the box.";

// The next step on this page, by code; what the box itself advises stands in `detail`.
const STEPS = {
  no_answer: `${SEND_AGAIN} ${CALL}`,
  unknown: CALL,
  internal: `${SEND_AGAIN} ${CALL}`,
  storage_damaged: `${SEND_AGAIN} ${CALL}`,
  malformed_request: SEND_AGAIN,
  headers_too_large: "Delete the cookies of this address, and sign in again.",
  unauthorised: "Sign in with a token that the technician gives you.",
  forbidden: "Ask the technician for a token of that role.",
  too_many_attempts: "Then sign in again.",
  not_found: "Choose a study from the list.",
  unknown_study: "Choose a study from the list, or read the images again.",
  unknown_image: "Load the page again.",
  method_not_allowed: "Load the page again.",
  upload_timeout: "The network to the box is slow. Send again, or send fewer images at a time.",
  deadline_exceeded: SEND_AGAIN,
  study_conflict: "Choose another reference, or leave it empty.",
  study_not_read: "The page asks again by itself.",
  body_too_large: "Send fewer images at a time, or compressed ones.",
  unsupported_content_type: "Load the page again.",
  unsupported_content_encoding: "Load the page again.",
  invalid_request: "Load the page again.",
  invalid_study_id: "Change the reference.",
  unknown_part: "Load the page again.",
  missing_modality: "Choose at least one image.",
  modality_not_read: "Leave this image out: the model that is installed reads none of its kind.",
  too_many_files: "Remove images until no more are left than the box takes.",
  empty_file: ANOTHER_FILE,
  unsupported_format: ANOTHER_FILE,
  unsupported_transfer_syntax: ANOTHER_FILE,
  corrupt_image: ANOTHER_FILE,
  corrupt_dicom: ANOTHER_FILE,
  unsupported_dicom: ANOTHER_FILE,
  multi_frame: ANOTHER_FILE,
  image_too_small: ANOTHER_FILE,
  image_too_large: ANOTHER_FILE,
  no_content: ANOTHER_FILE,
  patients_differ: "Take out what is not of this patient, and send again.",
  repeated_image: "Take out the second one, or choose the right file for it, and send again.",
  invalid_field: "Load the page again.",
  modality_mismatch: "Put the marked file where it belongs, and send again.",
  queue_full: "Your choice is kept; the page sends it again by itself.",
  engine_unavailable: `Your choice is kept: send it again in a minute. ${CALL}`,
  engine_fault: `${SEND_AGAIN} ${CALL}`,
  reader_lost: `${SEND_AGAIN} ${CALL}`,
  storage_failed: `${SEND_AGAIN} ${CALL}`,
  storage_full: "Call the technician: the box needs room. Your choice is kept.",
};

export const step = (code) => STEPS[code] ?? CALL;

// Which file a problem is about: ["MG", 0] for "mammogram 1: ...", else null.
export function culprit(problem) {
  const [, part, number] = /^(\w+) ([1-9]\d*): /.exec(problem.detail ?? "") ?? [];
  const code = MODALITIES.find((modality) => TEST[modality] === part);
  return code ? [code, Number(number) - 1] : null;
}
