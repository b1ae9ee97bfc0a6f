// The library's API, as docs at /api/openapi.json describe it.

export const TOP = 24;
const MOST = 1000;

export class Fault extends Error {}

async function ask(address, options = {}) {
  let answer;
  try {
    answer = await fetch(address, { headers: { Accept: "application/json" }, ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Fault("The server does not answer. Is gaid serve still running?");
  }
  const content = await answer.json().catch(() => null);
  if (!answer.ok) throw new Fault(content?.error?.message ?? `The server answered ${answer.status}.`);
  return content;
}

export const library = () => ask("/api/library");

export const clip = (key, signal) => ask(`/api/clips/${key}`, { signal });

/** Clips for what `asked` holds, or for a file; those from `offset` on. */
export function search(asked, file, offset, signal) {
  const { q, like, ...rest } = asked;
  const parameters = new URLSearchParams({ ...rest, top: TOP, offset });
  if (file) {
    const sense = file.type.startsWith("audio/") ? "sound" : "picture";
    return ask(`/api/search/${sense}?${parameters}`, { method: "POST", body: file, signal });
  }
  if (like) parameters.set("like", like);
  else parameters.set("q", q);
  return ask(`/api/search?${parameters}`, { signal });
}

/** Whether there may be more clips than those listed. */
export const mayHaveMore = (listed) => listed > 0 && listed % TOP === 0 && listed < MOST;

/** How well each frame of a clip fits the sentence, or is like the clip, that `asked` holds. */
export function weights(key, asked, signal) {
  const parameters = new URLSearchParams();
  for (const name of ["q", "like"]) if (asked[name]) parameters.set(name, asked[name]);
  if (asked.sense && asked.sense !== "speech") parameters.set("sense", asked.sense); // words are not said in frames
  return ask(`/api/clips/${key}/weights?${parameters}`, { signal });
}
