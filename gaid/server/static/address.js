// The page's address repeats its search. A file that was searched by is kept as long as the page is open.

const NAMES = ["q", "like", "sense", "folder", "longer", "shorter", "since", "until"];

const files = [];

export function read() {
  const parameters = new URLSearchParams(location.search);
  const asked = {};
  for (const name of NAMES) {
    const value = parameters.get(name)?.trim();
    if (value) asked[name] = value;
  }
  const file = files[history.state?.file] ?? null;
  return { asked, file };
}

/** Writes a search into the address, in place of the one that is there or as a new step to go back from. */
export function write(asked, file, isNewStep) {
  const parameters = new URLSearchParams();
  for (const name of NAMES) if (asked[name]) parameters.set(name, asked[name]);
  const address = parameters.size ? `/?${parameters}` : "/";
  let place = null;
  if (file) place = files.includes(file) ? files.indexOf(file) : files.push(file) - 1;
  if (address === `${location.pathname}${location.search}` && place === (history.state?.file ?? null)) return;
  history[isNewStep ? "pushState" : "replaceState"]({ file: place }, "", address);
}
