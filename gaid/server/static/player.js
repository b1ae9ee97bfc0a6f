// The player: a clip from its moment on, the strip under it, and what is known of the clip.

import * as api from "./api.js";
import { badges } from "./results.js";
import { clock, find, make, nameOf, seconds, span } from "./dom.js";
import { Strip } from "./strip.js";

const SHORTEST = 0.1; // s of a preview

export class Player {
  constructor({ onClose, onLike }) {
    this.root = find("player");
    this.video = find("video");
    this.strip = new Strip((time) => this.seek(time));
    this.hit = null;
    find("player-close").addEventListener("click", onClose);
    find("player-like").addEventListener("click", () => onLike(this.hit));
    find("player-moment").addEventListener("click", () => this.play(this.beginning));
    this.video.addEventListener("error", () => this.takePreview());
    this.video.addEventListener("loadedmetadata", () => this.begin());
    this.video.addEventListener("timeupdate", () => this.tick());
    this.video.addEventListener("seeked", () => this.tick());
    this.video.addEventListener("ended", () => this.resume());
  }

  get isOpen() {
    return !this.root.hidden;
  }

  get beginning() {
    return this.hit.moment ? this.hit.moment[0] : 0;
  }

  /** Seconds of the clip that are shown. */
  get time() {
    return this.video.currentTime - this.shift;
  }

  /** `asked`: what found the clip; a sentence or a clip weighs its frames. */
  open(hit, asked) {
    this.waiting?.abort();
    this.waiting = new AbortController();
    this.hit = hit;
    const { name, folder } = nameOf(hit.video);
    find("player-title").textContent = name;
    find("player-where").textContent = folder;
    find("player-moment").hidden = !hit.moment;
    find("player-fault").hidden = true;
    find("player-facts").replaceChildren(...facts(hit));
    this.root.hidden = false;
    this.strip.show(hit.duration, hit.moment);
    this.legend([]);
    this.load(hit.media, hit.start ?? 0, this.beginning);
    this.describe(hit, this.waiting.signal);
    if (asked.q || asked.like) this.weigh(hit, asked, this.waiting.signal);
  }

  close() {
    this.waiting?.abort();
    this.root.hidden = true;
    this.hit = null;
    this.video.removeAttribute("src");
    this.video.load();
  }

  /** `shift`: where in what is loaded the clip begins; `from`: the clip's second to begin at. */
  load(address, shift, from) {
    this.isPreview = address !== this.hit.media;
    this.shift = shift;
    this.from = from;
    this.hasEnded = false;
    this.video.src = address;
    this.video.play().catch(() => {}); // a browser may want a click first; the controls are there
  }

  begin() {
    const target = this.from + this.shift;
    if (Math.abs(this.video.currentTime - target) > 0.01) this.video.currentTime = target;
  }

  /** What a browser does not play, the server shows it as a preview from a moment on. */
  takePreview() {
    if (!this.hit || !this.video.getAttribute("src")) return;
    if (!this.isPreview) return this.preview(this.from);
    const fault = find("player-fault");
    fault.textContent = "This clip can't be shown: its file can't be read, or is not there any more.";
    fault.hidden = false;
  }

  preview(from) {
    const address = new URL(this.hit.preview, location.href);
    address.searchParams.set("start", Math.max(0, Math.min(from, this.hit.duration - SHORTEST)).toFixed(3));
    this.load(`${address.pathname}${address.search}`, -from, from);
  }

  /** A preview ends where the server's bound is, which may be before the clip does. */
  resume() {
    if (this.isPreview && this.time > this.from + 1 && this.time < this.hit.duration - 0.5) this.preview(this.time);
  }

  play(time) {
    this.seek(time);
    this.video.play().catch(() => {});
  }

  seek(time) {
    if (!this.hit) return;
    this.hasEnded = false;
    this.strip.at(time);
    if (this.isPreview) this.preview(time);
    else this.video.currentTime = time + this.shift;
  }

  tick() {
    if (!this.hit || this.video.readyState < 1) return;
    const time = this.time;
    this.strip.at(time);
    find("clock").textContent = `${clock(Math.max(time, 0))} / ${clock(this.hit.duration)}`;
    const isPart = this.hit.end !== null && this.hit.end !== undefined;
    if (isPart && time >= this.hit.duration && !this.hasEnded) {
      this.hasEnded = true; // the clip is a part of a longer file
      this.video.pause();
    }
  }

  async describe(hit, signal) {
    try {
      const known = await api.clip(hit.key, signal);
      if (this.hit !== hit || !known.captions?.length) return;
      const lines = known.captions.slice(0, 5).map((caption) => make("li", {}, caption));
      find("player-facts").append(make("dt", {}, "captions"), make("dd", {}, make("ul", {}, ...lines)));
    } catch {
      // the clip plays without them
    }
  }

  async weigh(hit, asked, signal) {
    try {
      const answer = await api.weights(hit.key, asked, signal);
      if (this.hit !== hit) return;
      const hasParts = answer.frames.some((frame) => frame.picture !== null || frame.sound !== null);
      // A head of one sense has a score alone, which stands where the picture's does.
      const frames = hasParts ? answer.frames : answer.frames.map((frame) => ({ ...frame, picture: frame.score }));
      this.strip.weigh(frames);
      this.legend(frames);
    } catch {
      // the strip shows the moment without them
    }
  }

  legend(frames) {
    const has = (sense) => frames.some((frame) => frame[sense] !== null);
    find("legend-picture").hidden = !has("picture");
    find("legend-sound").hidden = !has("sound");
    find("legend-moment").hidden = !this.hit?.moment;
    const note = "How well each frame fits, relative to the clip's other frames";
    find("strip-note").textContent = frames.length ? note : "";
  }
}

function facts(hit) {
  const rows = [
    ["score", make("span", { class: "badges" }, hit.score.toFixed(3), ...badges(hit))],
    ["moment", hit.moment ? span(...hit.moment) : "the whole clip"],
    ["length", seconds(hit.duration)],
  ];
  if (hit.words) rows.push(["words", `“${hit.words}”`]);
  if (hit.audio !== "sound") rows.push(["sound", hit.audio]);
  if (hit.start !== null && hit.start !== undefined) rows.push(["in its file", `from ${seconds(hit.start)}`]);
  return rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]);
}
