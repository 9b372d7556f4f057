// A panel: what it shows, and under it the query that it was made from and its data as files.

import { ROOT, useAddress } from "../lib/address.js";
import { saved, csv, savePng, saveSvg } from "../lib/save.js";
import { html, useRef, useState } from "../lib/vendor.js";

/** @typedef {import("../lib/hooks.js").Result} Result */

/**
 * @param {object} given
 * @param {string} given.id as in ?embed=ID, and the anchor on the page
 * @param {unknown} given.title text, or nodes
 * @param {Result} given.result of the query that the panel shows
 * @param {() => Record<string, unknown>[]} [given.rows] its data as a table, for CSV
 * @param {boolean} [given.picture] whether it draws an SVG that is worth saving
 * @param {unknown} [given.tools] controls beside the title
 * @param {number} [given.height] px that it takes while it loads, so that nothing jumps
 * @param {unknown} [given.empty] shown instead of the children: why there is nothing, and what would fill it
 * @param {unknown} given.children
 */
export function Panel({ id, title, result, rows, picture = false, tools, height = 120, empty, children }) {
  const { state } = useAddress();
  const [showing, setShowing] = useState(false);
  const body = useRef(/** @type {HTMLElement | null} */ (null));
  if (state.embed && state.embed !== id) return null;
  const drawn = () => /** @type {SVGSVGElement | null} */ (body.current?.querySelector("svg[data-picture]") ?? body.current?.querySelector("svg"));
  const ready = Boolean(result.data) && !empty;
  return html`<section class="panel" id=${id} aria-labelledby=${`${id}-title`} aria-busy=${result.loading}>
    <header class="panel-head"><h2 id=${`${id}-title`}>${title}</h2><div class="tools">${tools}</div></header>
    <div class="panel-body" ref=${body}>
      <${States} result=${result} height=${height}>${empty ? html`<${Empty}>${empty}<//>` : children}<//>
    </div>
    <footer class="panel-foot">
      <button type="button" class="quiet" aria-expanded=${showing} onClick=${() => setShowing(!showing)}>Query</button>
      ${ready && rows && html`<button type="button" class="quiet" onClick=${() => saved(new Blob([csv(rows())], { type: "text/csv" }), `${id}.csv`)}>CSV</button>`}
      ${ready && picture && html`
        <button type="button" class="quiet" onClick=${() => { const svg = drawn(); if (svg) saveSvg(svg, id); }}>SVG</button>
        <button type="button" class="quiet" onClick=${() => { const svg = drawn(); if (svg) savePng(svg, id); }}>PNG</button>`}
    </footer>
    ${showing && html`<${Made} result=${result} />`}
  </section>`;
}

/** Codes of errors that the same question always meets. */
const FOR_GOOD = ["NOT_FOUND", "AMBIGUOUS", "BAD_USER_INPUT"];

/**
 * The children, or what is there instead of them: a skeleton, or the service's one line and a way to try again.
 * @param {{result: Result, height?: number, children: unknown}} given
 */
export function States({ result, height = 120, children }) {
  if (result.error) {
    const newer = result.error.code === "NEWER";
    return html`<div class="failed" role="alert"><p>${result.error.message}</p>
      ${!FOR_GOOD.includes(result.error.code ?? "") && html`<button type="button" onClick=${newer ? () => location.reload() : result.retry}>${newer ? "Reload" : "Try again"}</button>`}</div>`;
  }
  if (!result.data) return html`<div class="skeleton" style=${{ height: `${height}px` }} role="status"><span class="unseen">loading</span></div>`;
  return html`<div class=${result.loading ? "stale" : ""}>${children}</div>`;
}

/** Why there is nothing. @param {{children: unknown}} given */
export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;

/** How a query is sent, by the way it is sent. @type {Record<string, (result: Result) => string>} */
const WAYS = {
  GraphQL: ({ text, variables }) => `${text.trim()}\n\n# variables\n${JSON.stringify(variables, null, 2).replace(/^/gm, "# ")}`,
  curl: ({ text, variables }) => {
    const body = JSON.stringify({ query: text.replace(/\s+/g, " ").trim(), variables }).replaceAll("'", "'\\''");
    return `curl -s ${service()} -H 'Content-Type: application/json' \\\n  -d '${body}'`;
  },
  Python: ({ text, variables }) => `import json, urllib.request

query = """${text.trim()}"""
body = json.dumps({"query": query, "variables": json.loads(r'''${JSON.stringify(variables)}''')}).encode()
request = urllib.request.Request("${service()}", body, {"Content-Type": "application/json"})
with urllib.request.urlopen(request) as response:
    data = json.load(response)["data"]`,
};

const service = () => `${location.origin}${ROOT}graphql`;

/** The query as it was sent, to be copied or opened in the editor. @param {{result: Result}} given */
function Made({ result }) {
  const [way, setWay] = useState("GraphQL");
  const [copied, setCopied] = useState("");
  const text = WAYS[way](result);
  const editor = `${ROOT}graphql#query=${encodeURIComponent(result.text.trim())}&variables=${encodeURIComponent(JSON.stringify(result.variables, null, 2))}`;
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(way);
    } catch {
      setCopied(""); // without leave to write, the text can still be selected
    }
  };
  return html`<div class="made">
    <div class="made-ways" role="group" aria-label="the query as">
      ${Object.keys(WAYS).map((name) => html`<button type="button" key=${name} aria-pressed=${name === way} onClick=${() => setWay(name)}>${name}</button>`)}
      <span class="grow"></span>
      <button type="button" onClick=${copy}>${copied === way ? "Copied" : "Copy"}</button>
      <a href=${editor} target="_blank" rel="noopener">Open in GraphiQL</a>
    </div>
    <pre tabindex="0">${text}</pre>
  </div>`;
}
