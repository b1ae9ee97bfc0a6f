// Small helpers for elements, numbers and times. Text always goes in as text.

const SVG = "http://www.w3.org/2000/svg";

export const find = (id) => document.getElementById(id);

/** An element with attributes (false and null leave one out) and children. */
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const icon = (name) =>
  draw("svg", { class: "icon", "aria-hidden": "true" }, draw("use", { href: `#icon-${name}` }));

/** 3.5 s, or 1:03 from a minute on. */
export function seconds(value) {
  if (value < 60) return `${value.toFixed(1)} s`;
  return clock(value);
}

export function clock(value) {
  const whole = Math.floor(value);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const shown = parts[0] ? parts : parts.slice(1);
  return shown.map((part, place) => (place ? String(part).padStart(2, "0") : part)).join(":");
}

/** 1.5–3.0 s, or 1:03–1:10. */
export function span(start, end) {
  if (end < 60) return `${start.toFixed(1)}–${end.toFixed(1)} s`;
  return `${clock(start)}–${clock(end)}`;
}

/** A clip's id as its own name and the folder that it is in. */
export function nameOf(id) {
  const cut = id.lastIndexOf("/");
  return { name: id.slice(cut + 1), folder: cut < 0 ? "" : id.slice(0, cut) };
}

export const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
