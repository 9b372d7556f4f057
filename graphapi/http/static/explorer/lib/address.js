// The address is the state of the explorer: which page, of what, and everything that was chosen on it.
//
//   /                           runs          /runs/RUN/class/INDEX              a class
//   /runs/RUN                   a run         /runs/RUN/channel/LAYER/INDEX      a channel
//   /runs/RUN/classes           classes       /runs/RUN/image/ID                 an image
//   /runs/RUN/failures          failures      /compare                           two runs
//
// What is behind "?" is the page's own; `embed` names the one panel that is shown, or is 1 for the page's main one.

import { createContext, useContext } from "./vendor.js";

/** @typedef {{page: string, params: Record<string, string>, state: Record<string, string>}} Address */

/** Patterns of pages, below the service's root. @type {[string, RegExp, string[]][]} */
const PAGES = [
  ["runs", /^$/, []],
  ["compare", /^compare$/, []],
  ["run", /^runs\/([^/]+)$/, ["run"]],
  ["classes", /^runs\/([^/]+)\/classes$/, ["run"]],
  ["failures", /^runs\/([^/]+)\/failures$/, ["run"]],
  ["class", /^runs\/([^/]+)\/class\/([^/]+)$/, ["run", "index"]],
  ["channel", /^runs\/([^/]+)\/channel\/([^/]+)\/([^/]+)$/, ["run", "layer", "index"]],
  ["image", /^runs\/([^/]+)\/image\/([^/]+)$/, ["run", "id"]],
];

/** The panel that ?embed=1 shows. @type {Record<string, string>} */
const MAIN_PANEL = { runs: "runs", compare: "outcomes", run: "layers", classes: "classes", failures: "matrix", class: "support", channel: "patches", image: "pyramid" };

/** The service's root, with a slash at its end. */
export const ROOT = new URL(document.baseURI).pathname;

/**
 * What an address of the explorer shows.
 * @param {URL | Location} url
 * @returns {Address} its page is "missing" where there is none
 */
export function parse(url) {
  const path = url.pathname.startsWith(ROOT) ? url.pathname.slice(ROOT.length).replace(/\/$/, "") : url.pathname;
  const state = Object.fromEntries(new URLSearchParams(url.search));
  for (const [page, pattern, names] of PAGES) {
    const found = pattern.exec(path);
    if (found) {
      const params = Object.fromEntries(names.map((name, place) => [name, decoded(found[place + 1])]));
      if (state.embed === "1") state.embed = MAIN_PANEL[page];
      return { page, params, state };
    }
  }
  return { page: "missing", params: { path }, state };
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * @param {(string | number)[]} parts
 * @param {Record<string, unknown>} [state]
 */
function made(parts, state = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    if (value !== undefined && value !== null && value !== "") query.set(name, String(value));
  }
  const text = readable(query);
  return ROOT + parts.map((part) => encodeURIComponent(part)).join("/") + (text && `?${text}`);
}

/** As people write it: "conv4_3:15:7:3" is not escaped, which no query needs. @param {URLSearchParams} query */
const readable = (query) => query.toString().replaceAll("%3A", ":").replaceAll("%2C", ",");

/** Addresses of pages; each takes the page's state last. */
export const href = {
  /** @param {Record<string, unknown>} [state] */
  runs: (state) => made([], state),
  /** @param {string} run @param {Record<string, unknown>} [state] */
  run: (run, state) => made(["runs", run], state),
  /** @param {string} run @param {Record<string, unknown>} [state] */
  classes: (run, state) => made(["runs", run, "classes"], state),
  /** @param {string} run @param {number | string} index @param {Record<string, unknown>} [state] */
  class: (run, index, state) => made(["runs", run, "class", index], state),
  /** @param {string} run @param {string} layer @param {number | string} index @param {Record<string, unknown>} [state] */
  channel: (run, layer, index, state) => made(["runs", run, "channel", layer, index], state),
  /** @param {string} run @param {number | string} id the image's index @param {Record<string, unknown>} [state] */
  image: (run, id, state) => made(["runs", run, "image", id], state),
  /** @param {string} run @param {Record<string, unknown>} [state] */
  failures: (run, state) => made(["runs", run, "failures"], state),
  /** @param {Record<string, unknown>} [state] */
  compare: (state) => made(["compare"], state),
};

/** @type {Set<(address: Address) => void>} */
const listeners = new Set();

/**
 * Call back with every new address; returns what ends it.
 * @param {(address: Address) => void} listener
 */
export function onAddress(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/**
 * Go to an address of the explorer.
 * @param {string} to @param {{replace?: boolean}} [how] replace: Back does not come here again
 */
export function go(to, { replace = false } = {}) {
  const url = new URL(to, document.baseURI);
  if (url.href === location.href) return;
  if (parse(location).state.embed && !url.searchParams.has("embed")) {
    // A panel in somebody's page stays what it is; what it leads to has a tab of its own.
    open(url.href, "_blank", "noopener");
    return;
  }
  history[replace ? "replaceState" : "pushState"](null, "", url);
  changed();
  if (!replace) window.scrollTo(0, 0);
}

/**
 * Change the state of the page that is shown: null or "" removes a name.
 * @param {Record<string, unknown>} changes
 * @param {{replace?: boolean}} [how] by default Back returns to the state before; replace while a slider moves
 */
export function setState(changes, { replace = false } = {}) {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined || value === null || value === "") url.searchParams.delete(name);
    else url.searchParams.set(name, String(value));
  }
  url.search = readable(url.searchParams);
  if (url.href === location.href) return;
  history[replace ? "replaceState" : "pushState"](null, "", url);
  changed();
}

function changed() {
  const address = parse(location);
  for (const listener of listeners) listener(address);
}

addEventListener("popstate", changed);

// A plain click on a link within the explorer changes the page without loading it anew.
document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
  if (!link || event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  // By attributes, since links of drawings (SVG) are no HTMLAnchorElement.
  const to = new URL(link.getAttribute("href") ?? "", document.baseURI);
  if (link.getAttribute("target") || link.hasAttribute("download") || to.origin !== location.origin) return;
  if (parse(to).page === "missing") return;
  event.preventDefault();
  go(to.href);
});

export const AddressContext = createContext(parse(location));

/** The address that is shown. @returns {Address} */
export const useAddress = () => useContext(AddressContext);
