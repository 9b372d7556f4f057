// "/" searches classes by any word of their name, channels as "conv4_3 15", images by uri.

import { go, href } from "../lib/address.js";
import { evidenceLayers, useKeys, useQuery } from "../lib/hooks.js";
import { html, useEffect, useRef, useState } from "../lib/vendor.js";

const FOUND = `query Search($run: String!, $text: String!) {
  run(name: $run) {
    classes(search: $text, first: 6) { nodes { index name imageCount } }
    images(search: $text, first: 6) { nodes { index uri } }
  }
}`;
const WAIT_MS = 120;

/** @param {{run: import("../lib/hooks.js").Run | undefined}} given the run that is searched */
export function Search({ run }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [text, setText] = useState("");
  const [asked, setAsked] = useState("");
  const [place, setPlace] = useState(0);
  useEffect(() => {
    const timer = setTimeout(() => setAsked(text.trim()), WAIT_MS);
    setPlace(0);
    return () => clearTimeout(timer);
  }, [text]);
  useKeys({ "/": (event) => { event.preventDefault(); input.current?.focus(); input.current?.select(); } });
  const result = useQuery(run && asked ? FOUND : null, { run: run?.name, text: asked });
  const found = run && asked ? entries(run, asked, result.data?.run) : [];
  const close = () => { setText(""); setAsked(""); input.current?.blur(); };
  /** @param {{to: string} | undefined} entry */
  const open = (entry) => { if (entry) { close(); go(entry.to); } };
  /** @param {KeyboardEvent} event */
  const pressed = (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      setPlace((place + (event.key === "ArrowDown" ? 1 : found.length - 1)) % Math.max(1, found.length));
    } else if (event.key === "Enter") open(found[place]);
    else if (event.key === "Escape") { event.stopPropagation(); close(); }
  };
  return html`<div class="search" role="search">
    <input ref=${input} type="search" placeholder="Search   /" aria-label="search classes, channels and images" role="combobox"
      aria-expanded=${found.length > 0} aria-controls="search-found" aria-autocomplete="list" aria-activedescendant=${found.length ? `found-${place}` : undefined}
      value=${text} disabled=${!run} onInput=${(/** @type {any} */ event) => setText(event.target.value)} onKeyDown=${pressed} />
    <ul id="search-found" role="listbox" aria-label="found" hidden=${!asked}>
      ${found.map((entry, at) => html`<li key=${entry.to} id=${`found-${at}`} role="option" aria-selected=${at === place}>
        <a href=${entry.to} tabindex="-1" onClick=${close}><b>${entry.name}</b> <span class="dim">${entry.kind}</span></a></li>`)}
      ${asked && found.length === 0 && !result.loading && html`<li class="dim" role="option" aria-selected="false">${result.error ? result.error.message : `nothing is called ${asked}`}</li>`}
    </ul>
  </div>`;
}

/**
 * @param {import("../lib/hooks.js").Run} run @param {string} text @param {any} answer
 * @returns {{to: string, name: string, kind: string}[]}
 */
function entries(run, text, answer) {
  const words = text.toLowerCase().split(/[\s/]+/);
  const last = words[words.length - 1];
  const index = /^\d+$/.test(last) ? Number(last) : null;
  const layers = evidenceLayers(run).filter((layer) => layer.name.toLowerCase().startsWith(words[0]) && words.length > 1 && index !== null && index < layer.channels);
  return [
    ...layers.map((layer) => ({ to: href.channel(run.name, layer.name, last), name: `${layer.name} ${last}`, kind: "channel" })),
    ...(answer?.classes.nodes ?? []).map((/** @type {any} */ node) => ({ to: href.class(run.name, node.index), name: node.name, kind: `class ${node.index}` })),
    ...(answer?.images.nodes ?? []).map((/** @type {any} */ node) => ({ to: href.image(run.name, node.index), name: node.uri, kind: "image" })),
  ];
}
