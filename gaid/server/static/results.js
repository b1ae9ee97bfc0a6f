// The list of clips that were found, and what is said about it.

import { find, icon, make, nameOf, seconds, signed, span } from "./dom.js";

const SENSES = ["picture", "sound", "speech"];

export class Results {
  constructor({ onOpen, onLike }) {
    this.list = find("hits");
    this.hits = [];
    this.pictures = new Map(); // by address, so that a picture that stays is not fetched and drawn again
    this.list.addEventListener("click", (event) => {
      const card = event.target.closest("li[data-place]");
      const button = event.target.closest("button");
      if (!card || !button) return;
      const hit = this.hits[Number(card.dataset.place)];
      if (button.classList.contains("like")) onLike(hit);
      else onOpen(hit);
    });
  }

  get cards() {
    return [...this.list.querySelectorAll("button.open")];
  }

  /** Shows an answer's clips; `isMore`: after those that are there. */
  show(answer, isMore) {
    const before = this.pictures;
    if (!isMore) {
      this.hits = [];
      this.pictures = new Map();
      this.list.replaceChildren();
    }
    this.list.querySelector(".edge")?.remove();
    for (const hit of answer.hits) {
      this.list.append(this.card(hit, this.hits.length, before));
      this.hits.push(hit);
    }
    const fitting = answer.fitting;
    if (fitting > 0 && fitting < this.hits.length) {
      const words = "Below this line clips fit no better than they fit unrelated sentences";
      this.list.querySelector(`li[data-place="${fitting}"]`).before(make("li", { class: "edge" }, words));
    }
  }

  clear() {
    this.hits = [];
    this.list.replaceChildren();
  }

  /** Marks the clip that plays. */
  mark(key) {
    for (const card of this.list.querySelectorAll("li[data-place]")) {
      const isPlaying = this.hits[Number(card.dataset.place)].key === key;
      card.classList.toggle("playing", isPlaying);
      card.querySelector("button.open").setAttribute("aria-pressed", isPlaying);
    }
  }

  cardOf(key) {
    const place = this.hits.findIndex((hit) => hit.key === key);
    return place < 0 ? null : this.cards[place];
  }

  /** Moves the focus among the cards, by places to the side or by rows. */
  move(from, key) {
    const cards = this.cards;
    const place = cards.indexOf(from);
    const top = (card) => card.closest("li").getBoundingClientRect().top;
    const columns = Math.max(1, cards.filter((card) => Math.abs(top(card) - top(cards[0])) < 2).length);
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
    if (place >= 0 && place + step < 0) return false;
    const next = cards[place < 0 ? 0 : Math.min(place + step, cards.length - 1)];
    next?.focus();
    next?.closest("li").scrollIntoView({ block: "nearest" });
    return Boolean(next);
  }

  card(hit, place, before) {
    const { name, folder } = nameOf(hit.video);
    const open = make("button", { type: "button", class: "open", "aria-pressed": "false" }, name);
    const about = { "aria-label": `More like ${name}`, title: "More like this (m)" };
    const like = make("button", { type: "button", class: "like", ...about }, icon("like"));
    const when = hit.moment ? span(...hit.moment) : seconds(hit.duration);
    const score = make("span", { class: "score", title: "score" }, hit.score.toFixed(3));
    return make(
      "li",
      { "data-place": place },
      make("div", { class: "frames" }, ...this.frames(hit, name, before), make("span", { class: "moment" }, when)),
      make("div", { class: "line" }, make("h2", {}, open), score),
      make("p", { class: "where" }, folder || "\u00a0"),
      words(hit),
      make("div", { class: "line foot" }, make("p", { class: "badges" }, ...badges(hit)), like),
    );
  }

  frames(hit, name, before) {
    return hit.thumbnails.map((address, place) => {
      let picture = before.get(address);
      if (!picture || this.pictures.has(address)) {
        const alt = place ? "" : `${name}, ${hit.moment ? `at ${seconds(hit.moment[0])}` : "a frame"}`;
        picture = make("img", { loading: "lazy", decoding: "async", alt, width: 240, height: 240, src: address });
        picture.addEventListener("error", () => picture.classList.add("absent"), { once: true });
      }
      this.pictures.set(address, picture);
      return picture;
    });
  }
}

/** What was said, where speech found the clip. */
function words(hit) {
  return hit.words ? make("blockquote", {}, hit.words) : null;
}

/** The senses that found a clip, and which of them carried it. */
export function badges(hit) {
  const shown = [];
  for (const sense of SENSES) {
    const value = hit.senses[sense];
    if (value === undefined || (sense === "sound" && hit.audio !== "sound")) continue;
    const isCarrier = hit.carried === sense;
    const number = sense === "picture" ? value.toFixed(3) : signed(value);
    const about = { class: `badge ${sense}${isCarrier ? " carried" : ""}`, title: sense };
    const words = isCarrier ? `by ${sense}` : sense;
    shown.push(make("span", about, icon(sense), make("span", {}, words), make("b", {}, number)));
  }
  return shown;
}
