// The strip under the player: how well each frame fits, by picture and by sound, over the clip's time. A slider.

import { draw, find, seconds } from "./dom.js";

const HEIGHT = 64;
const MIDDLE = 36; // the picture's bars stand on this line, the sound's hang from it
const LEAST = 0.08;

export class Strip {
  constructor(onSeek) {
    this.root = find("strip");
    this.onSeek = onSeek;
    this.duration = 0;
    this.times = [];
    this.root.addEventListener("pointerdown", (event) => {
      this.root.setPointerCapture(event.pointerId);
      this.seekTo(event);
    });
    this.root.addEventListener("pointermove", (event) => {
      if (this.root.hasPointerCapture(event.pointerId)) this.seekTo(event);
    });
    this.root.addEventListener("keydown", (event) => this.step(event));
  }

  /** A clip without weights: its length and its moment. */
  show(duration, moment) {
    this.duration = Math.max(duration, 0.04);
    this.times = [];
    this.moment = moment;
    this.render([]);
    this.root.setAttribute("aria-valuemax", this.duration.toFixed(2));
    this.at(moment ? moment[0] : 0);
  }

  /** Bars for each frame: its `time`, and what `picture` and `sound` find in it, null where one finds nothing. */
  weigh(frames) {
    this.times = frames.map((frame) => frame.time);
    this.render(frames);
    this.at(this.now);
  }

  render(frames) {
    const width = this.duration;
    const parts = [];
    if (this.moment) {
      const [start, end] = this.moment;
      const shown = Math.max(end - start, width / 200);
      parts.push(draw("rect", { class: "moment", x: start, y: 0, width: shown, height: HEIGHT }));
    }
    for (const sense of ["picture", "sound"]) {
      const heights = scale(frames.map((frame) => frame[sense]));
      const room = sense === "picture" ? MIDDLE - 3 : HEIGHT - MIDDLE - 3;
      heights.forEach((height, place) => {
        if (height === null) return;
        const [from, to] = this.edges(place);
        const gap = (to - from) * 0.08;
        const box = { x: from + gap, width: Math.max(to - from - 2 * gap, width / 1000), height: height * room };
        parts.push(draw("rect", { class: sense, ...box, y: sense === "picture" ? MIDDLE - box.height : MIDDLE + 1 }));
      });
    }
    parts.push(draw("line", { class: "axis", x1: 0, x2: width, y1: MIDDLE, y2: MIDDLE }));
    this.needle = draw("line", { class: "needle", y1: 0, y2: HEIGHT });
    parts.push(this.needle);
    const frame = { viewBox: `0 0 ${width} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" };
    this.root.replaceChildren(draw("svg", frame, ...parts));
  }

  /** From when to when a frame stands: from the middle before it to the middle after it. */
  edges(place) {
    const times = this.times;
    const from = place ? (times[place - 1] + times[place]) / 2 : 0;
    const to = place + 1 < times.length ? (times[place] + times[place + 1]) / 2 : this.duration;
    return [from, to];
  }

  /** Moves the needle. */
  at(time) {
    this.now = Math.min(Math.max(time, 0), this.duration);
    this.needle.setAttribute("x1", this.now);
    this.needle.setAttribute("x2", this.now);
    this.root.setAttribute("aria-valuenow", this.now.toFixed(2));
    this.root.setAttribute("aria-valuetext", `${seconds(this.now)} of ${seconds(this.duration)}`);
  }

  seekTo(event) {
    const box = this.root.getBoundingClientRect();
    this.onSeek(Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * this.duration);
  }

  step(event) {
    const frames = this.times.length || 12;
    const length = this.duration / frames;
    const target = {
      ArrowLeft: this.now - length,
      ArrowDown: this.now - length,
      ArrowRight: this.now + length,
      ArrowUp: this.now + length,
      Home: 0,
      End: this.duration - length,
    }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.onSeek(Math.min(Math.max(target, 0), this.duration));
  }
}

/** Values as heights from LEAST to 1, relative to the clip's own; equal values are of middle height, null stays. */
function scale(values) {
  const known = values.filter((value) => value !== null);
  const low = Math.min(...known);
  const range = Math.max(...known) - low;
  return values.map((value) => {
    if (value === null) return null;
    return range < 1e-5 ? 0.5 : LEAST + ((1 - LEAST) * (value - low)) / range;
  });
}
