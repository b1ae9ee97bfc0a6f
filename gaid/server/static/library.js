// What the page says of the library: its size, the senses and folders to choose from, and what its scores rest on.

import * as api from "./api.js";
import { find, icon, make } from "./dom.js";

const SENSE_NAMES = { all: "Everything", picture: "Picture", sound: "Sound", speech: "Speech" };

/** Fetches and shows it; `chosen`: the sense that the search at hand asks for. */
export async function describe(chosen) {
  const facts = await api.library();
  find("size").textContent = `${facts.clips.toLocaleString("en")} ${facts.clips === 1 ? "clip" : "clips"}`;
  if (!facts.clips) {
    const remedy = make("p", {}, "Extract a folder of videos first, with gaid extract, and start gaid serve again.");
    find("start").replaceChildren(make("h2", {}, "This library has no clips yet"), remedy);
  }
  if (facts.senses.length > 2) {
    find("senses").append(...facts.senses.flatMap((sense) => choice(sense, sense === chosen)));
    find("senses").hidden = false;
  }
  find("folders").append(...facts.folders.map((folder) => make("option", { value: folder })));
  find("folder-filter").hidden = !facts.folders.length;
  find("about-facts").replaceChildren(
    ...about(facts).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]),
  );
  find("about-notes").replaceChildren(...facts.notes.map((note) => make("li", {}, note)));
}

function choice(sense, checked) {
  const id = `sense-${sense}`;
  return [
    make("input", { type: "radio", name: "sense", value: sense, id, checked }),
    make("label", { for: id }, sense === "all" ? null : icon(sense), SENSE_NAMES[sense] ?? sense),
  ];
}

function about(facts) {
  return [
    ["library", facts.name],
    ["clips", facts.clips.toLocaleString("en")],
    ["senses", facts.senses.join(", ")],
    ...(facts.heard ? [["hears", facts.heard]] : []),
    ...Object.entries(facts.thresholds).map(([sense, score]) => [`fits from (${sense})`, score.toFixed(3)]),
  ];
}
