// The page: what is asked, in the form and in the address; the answer; and which clip plays.

import * as address from "./address.js";
import * as api from "./api.js";
import { find, make, nameOf } from "./dom.js";
import { listen } from "./keys.js";
import { describe } from "./library.js";
import { Player } from "./player.js";
import { Results } from "./results.js";

const PAUSE = 220; // ms without a keystroke after which a search begins
const FILTERS = ["folder", "longer", "shorter", "since", "until"];
const NARROW = matchMedia("(max-width: 899px)");
const TITLE = document.title;

const box = find("q");
let asked = {};
let file = null;
let likeName = "";
let isTyping = false; // the address's last step is of the sentence that is being typed
let waiting = null;
let timer = 0;

const results = new Results({ onOpen: open, onLike: like });
const player = new Player({ onClose: close, onLike: like });

// What is asked

function readForm() {
  const next = {};
  if (asked.like && !box.value.trim()) next.like = asked.like;
  else if (box.value.trim()) next.q = box.value.trim();
  const sense = document.querySelector("input[name=sense]:checked")?.value ?? asked.sense;
  if (sense && sense !== "all") next.sense = sense;
  for (const name of FILTERS) if (find(name).value && find(name).validity.valid) next[name] = find(name).value.trim();
  return next;
}

function fillForm() {
  if (document.activeElement !== box || box.value.trim() !== (asked.q ?? "")) box.value = asked.q ?? "";
  for (const name of FILTERS) find(name).value = asked[name] ?? "";
  const sense = document.querySelector(`input[name=sense][value="${CSS.escape(asked.sense ?? "all")}"]`);
  if (sense) sense.checked = true;
  showAsked();
}

/** The example and whether there are filters, beside the form's own fields. */
function showAsked() {
  const isExample = Boolean(file || asked.like);
  find("example").hidden = !isExample;
  find("example-name").textContent = file ? file.name : `like ${likeName || "a clip"}`;
  const picture = find("example-picture");
  picture.hidden = !file?.type.startsWith("image/");
  if (picture.src) URL.revokeObjectURL(picture.src);
  if (picture.hidden) picture.removeAttribute("src");
  else picture.src = URL.createObjectURL(file);
  const count = FILTERS.filter((name) => asked[name]).length;
  find("filters-clear").hidden = !count;
  find("filters-open").querySelector("span").textContent = count ? `Filters (${count})` : "Filters";
  const words = asked.q ?? (isExample ? find("example-name").textContent : "");
  document.title = words ? `${words} – ${TITLE}` : TITLE;
}

/** Asks for what the form holds. `isNewStep`: the search before it stays in the browser's history. */
function ask(isNewStep) {
  clearTimeout(timer);
  asked = readForm();
  if (asked.q) file = null;
  address.write(asked, file, isNewStep);
  showAsked();
  return run();
}

function like(hit) {
  if (NARROW.matches) close(); // the player covers what is found
  box.value = "";
  file = null;
  asked = { like: hit.key };
  likeName = nameOf(hit.video).name;
  isTyping = false;
  return ask(true).then(focusFirst);
}

function byFile(chosen) {
  if (!chosen) return;
  if (!/^(image|audio|video)\//.test(chosen.type)) {
    showFault(`${chosen.name} is neither a picture nor a sound.`);
    return;
  }
  box.value = "";
  asked = {};
  file = chosen;
  isTyping = false;
  ask(true).then(focusFirst);
}

function leaveExample() {
  file = null;
  asked = {};
  ask(true);
  box.focus();
}

// The answer

async function run() {
  waiting?.abort();
  const mine = (waiting = new AbortController());
  const isAsked = Boolean(asked.q || asked.like || file);
  find("start").hidden = isAsked;
  find("fault").hidden = true;
  if (!isAsked) {
    results.clear();
    find("more").hidden = true;
    unsay();
    setBusy(false);
    return;
  }
  await showPart(0, mine);
}

async function showPart(offset, mine) {
  setBusy(true);
  try {
    const answer = await api.search(asked, file, offset, mine.signal);
    if (asked.like) likeName = nameOf(answer.query.replace(/^like the clip /, "")).name;
    if (asked.like) showAsked();
    results.show(answer, offset > 0);
    if (player.isOpen) results.mark(player.hit.key);
    find("more").hidden = !api.mayHaveMore(results.hits.length) || !answer.hits.length;
    say(answer);
  } catch (error) {
    if (error.name === "AbortError") return;
    showFault(error.message);
    if (!offset) results.clear();
    unsay();
    find("more").hidden = true;
  } finally {
    if (mine === waiting) setBusy(false);
  }
}

/** How many clips there are, for eyes and screen readers. */
function say(answer) {
  const count = results.hits.length;
  const clips = (number) => (number === 1 ? "1 clip" : `${number} clips`);
  let words = `The ${clips(count)} nearest`;
  if (!count) words = FILTERS.some((name) => asked[name]) ? "No clip passes the filters" : "No clip was found";
  else if (answer.fitting === 0) words = `Nothing fits. These are the nearest ${clips(count)}`;
  else if (answer.fitting !== null) {
    const isAll = answer.fitting >= count && api.mayHaveMore(count);
    words = `${clips(answer.fitting)}${isAll ? " or more" : ""} ${answer.fitting === 1 && !isAll ? "fits" : "fit"}`;
  }
  find("search-notes").replaceChildren(...answer.notes.map((note) => make("li", {}, note)));
  find("status").replaceChildren(make("b", {}, words), make("span", {}, ` · ${answer.seconds.toFixed(2)} s`));
}

function unsay() {
  find("status").textContent = "";
  find("search-notes").replaceChildren();
}

function showFault(words) {
  find("fault").textContent = words;
  find("fault").hidden = false;
}

function setBusy(isBusy) {
  find("results").setAttribute("aria-busy", isBusy);
  find("working").hidden = !isBusy;
}

function focusFirst() {
  const first = results.cards[0];
  if (first) first.focus();
  scrollTo({ top: 0 });
}

// The player

function open(hit) {
  isTyping = false;
  player.open(hit, asked);
  results.mark(hit.key);
  find("columns").classList.add("playing");
  if (NARROW.matches) {
    setBehind(true);
    find("player-close").focus();
  } else if (!results.cardOf(hit.key)?.contains(document.activeElement)) results.cardOf(hit.key)?.focus();
}

function close() {
  if (!player.isOpen) return;
  const { key } = player.hit;
  const focused = document.activeElement;
  const hadFocus = NARROW.matches || focused === document.body || player.root.contains(focused);
  player.close();
  results.mark(null);
  find("columns").classList.remove("playing");
  setBehind(false);
  if (hadFocus) (results.cardOf(key) ?? box).focus();
}

/** On a narrow screen the player covers the page, which then can't be reached by the keyboard either. */
function setBehind(isBehind) {
  for (const element of document.querySelectorAll(".skip, .top, main")) element.inert = isBehind;
}

NARROW.addEventListener("change", () => setBehind(NARROW.matches && player.isOpen));

// The header's height, under which the player stays in sight

new ResizeObserver(([entry]) => {
  document.documentElement.style.setProperty("--top", `${Math.ceil(entry.borderBoxSize[0].blockSize)}px`);
}).observe(document.querySelector(".top"));

// The form

find("search").addEventListener("submit", (event) => {
  event.preventDefault();
  ask(!isTyping);
  isTyping = false;
});
box.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(() => {
    ask(!isTyping);
    isTyping = true;
  }, PAUSE);
});
box.addEventListener("change", () => { isTyping = false; });
find("search").addEventListener("change", (event) => {
  if (event.target === box || event.target.type === "file") return;
  isTyping = false;
  ask(true);
});
find("file").addEventListener("change", (event) => {
  byFile(event.target.files[0]);
  event.target.value = "";
});
find("example-clear").addEventListener("click", leaveExample);
find("filters-clear").addEventListener("click", () => {
  for (const name of FILTERS) find(name).value = "";
  ask(true);
  box.focus();
});
find("filters-open").addEventListener("click", (event) => {
  const isOpen = find("filters").classList.toggle("unfolded");
  event.currentTarget.setAttribute("aria-expanded", isOpen);
});
find("more").addEventListener("click", async () => {
  const listed = results.hits.length;
  await showPart(listed, waiting);
  results.cards[listed]?.focus();
});
find("help-open").addEventListener("click", () => find("help").showModal());
find("about-open").addEventListener("click", () => find("about").showModal());

addEventListener("popstate", restore);

function restore() {
  ({ asked, file } = address.read());
  isTyping = false;
  fillForm();
  return run();
}

// Files that are dropped on the page

let depth = 0;
addEventListener("dragenter", (event) => {
  if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
  depth += 1;
  find("drop").hidden = false;
});
addEventListener("dragleave", () => {
  depth = Math.max(0, depth - 1);
  if (!depth) find("drop").hidden = true;
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  find("drop").hidden = true;
  byFile(event.dataTransfer?.files[0]);
});

listen({ box, results, player, like, close, help: () => find("help").showModal() });
const early = box.value.trim(); // typed before this ran
restore();
if (early && !asked.q && !asked.like) {
  box.value = early;
  ask(false);
}
if (!asked.like && !NARROW.matches) box.focus({ preventScroll: true });
describe(asked.sense ?? "all").catch((error) => showFault(error.message));
