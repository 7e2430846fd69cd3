// The page: who is signed in, which view is shown, whether the box answers.

import { json } from "./api.js";
import { Choice } from "./choose.js";
import { el, find, say } from "./dom.js";
import { listen } from "./events.js";
import { Keys } from "./keys.js";
import { List } from "./list.js";
import { trouble } from "./progress.js";
import { SignIn, signOut, whoAmI } from "./session.js";
import { StudyView } from "./study.js";

const WIDE = matchMedia("(min-width: 1500px)");
const AGAIN_MS = 3000;
const STUDY = /^#study=([A-Za-z0-9._-]{1,64})$/;

const main = find("main");
const choice = new Choice({ taken: (id) => { location.hash = `study=${id}`; }, refused });
const list = new List(refused);
const signIn = new SignIn(entered);
const keys = new Keys(actions);

let who = null; // {name, roles, open}
let view = null; // StudyView
let stopListening = () => {};
let modelNow = "";

const place = {
  choice,
  refused,
  show(element, title) {
    main.replaceChildren(element);
    document.title = title ? `${title} · mammosono` : "mammosono";
    (find("h1, .problem h2", element) ?? main).focus({ preventScroll: true });
  },
  readBy(model) {
    say(find("#model"), model ? `Read by ${model.name} ${model.version}` : modelNow);
  },
  change(problem) {
    location.hash = "new";
    route();
    choice.refuse(problem);
  },
};

async function begin() {
  try {
    entered(await whoAmI());
  } catch (problem) {
    if (problem.stranger) return askWho();
    place.show(trouble(problem, problem.lost ? null : begin));
    if (problem.lost) setTimeout(begin, AGAIN_MS);
  }
}

function entered(now) {
  if (who && who.name !== now.name) forget();
  who = now;
  choice.limit(who.max_images);
  document.body.dataset.state = "in";
  find("#who").textContent = who.open ? "" : who.name;
  find("#sign-out").hidden = who.open;
  find("#new").hidden = !may("workstation");
  find("#studies").hidden = !sees();
  stopListening();
  stopListening = sees() ? listen({ heard, connected, refused }) : () => {};
  aboutModel();
  route();
}

// Nobody is signed in, or not any more. What was chosen is kept for who signs in again.
function refused(problem) {
  if (document.body.dataset.state === "in") askWho(problem);
}

function askWho(problem = null) {
  stopListening();
  clearTimeout(aboutModel.timer);
  leave();
  list.clear();
  document.body.dataset.state = "out";
  connected(true);
  place.show(signIn.element);
  signIn.begin(problem);
}

async function leaveBox() {
  try {
    await signOut();
  } catch (problem) {
    place.show(trouble(problem, leaveBox));
    return;
  }
  forget();
  who = null;
  history.replaceState(null, "", location.pathname);
  askWho();
}

// Nothing of one person's work is left for the next.
function forget() {
  leave();
  choice.clear();
  list.clear();
}

function leave() {
  view?.close();
  view = null;
  place.readBy(null);
  main.replaceChildren();
}

function route() {
  if (!who || document.body.dataset.state !== "in") return;
  const [, id] = STUDY.exec(location.hash) ?? [];
  if (id ? view?.id === id : main.contains(choice.element)) return;
  leave();
  list.choose(id ?? null);
  if (id && sees()) {
    if (!WIDE.matches) rail(false);
    view = new StudyView(id, place);
  } else {
    rail(true);
    place.show(may("workstation") ? choice.element : welcome());
  }
}

function welcome() {
  const words = sees()
    ? ["Choose a study", "This token reads studies; it does not post them. The studies stand at the left."]
    : ["Nothing to read here", "This token is a technician's: it sees how the box does, and no studies."];
  return el("article", { class: "notice" }, el("h1", { tabindex: "-1" }, words[0]), el("p", {}, words[1]));
}

const may = (role) => who.roles.includes(role);
const sees = () => may("workstation") || may("reader");

function heard() {
  list.refresh();
  view?.heard();
  aboutModel();
}

function connected(yes) {
  document.body.classList.toggle("lost", !yes);
  say(find("#lost"), yes ? "" : "The box does not answer. What you chose and what you see is kept; the page tries again by itself.");
}

// Which model reads, or why none does.
async function aboutModel() {
  clearTimeout(aboutModel.timer);
  try {
    await json("/readyz");
    if (!modelNow) {
      const { name, version } = await json("/v1/model");
      modelNow = `Model ${name} ${version}`;
    }
    say(find("#unready"), "");
  } catch (problem) {
    if (problem.stranger) return refused(problem);
    if (problem.lost || problem.code === "queue_full") return; // said when something is sent
    modelNow = "";
    say(find("#unready"), `The box cannot read now. ${problem.title}: ${problem.detail}`);
    aboutModel.timer = setTimeout(aboutModel, AGAIN_MS);
  }
  if (!view?.reading) place.readBy(null);
}

function rail(open) {
  document.body.classList.toggle("railed", open && sees());
  find("#studies").setAttribute("aria-expanded", String(open && sees()));
}

const railed = () => document.body.classList.contains("railed");

function search() {
  rail(true);
  list.search.focus();
}

function actions() {
  if (document.body.dataset.state !== "in") return new Map([["?", () => keys.show()]]);
  const anywhere = [
    ["?", () => keys.show()],
    ["n", () => may("workstation") && (location.hash = "new")],
    ["l", () => rail(!railed())],
    ["/", () => sees() && search()],
  ];
  const reading = view?.reading;
  if (!reading) return new Map(anywhere);
  return new Map([
    ...anywhere,
    ["j", () => reading.step(1)], ["k", () => reading.step(-1)],
    ["z", () => reading.zoomToSelected()], ["Escape", () => reading.deselect()],
    ["d", () => reading.otherKind()], ["m", () => reading.otherMarks()],
    ["[", () => reading.moreOpacity(-10)], ["]", () => reading.moreOpacity(10)],
    ["1", () => reading.focus("MG")], ["2", () => reading.focus("US")],
  ]);
}

find("#rail").append(list.element);
find("#new").addEventListener("click", () => { location.hash = "new"; route(); });
find("#studies").addEventListener("click", () => rail(!railed()));
find("#help").addEventListener("click", () => keys.show());
find("#sign-out").addEventListener("click", leaveBox);
find("#skip").addEventListener("click", () => main.focus());
addEventListener("hashchange", route);
// A file dropped beside the two fields must not replace the page.
for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());

begin();
