// What is around every page: the rail with the places, one line that says where one is.

import { go, href, useAddress } from "../lib/address.js";
import { percent } from "../lib/format.js";
import { onNewerVersion } from "../lib/graphql.js";
import { useRun, useRuns } from "../lib/hooks.js";
import { html, useEffect, useState } from "../lib/vendor.js";
import { Search } from "./search.js";

/**
 * @param {object} given
 * @param {unknown} given.children the page
 */
export function Frame({ children }) {
  const { page, params, state } = useAddress();
  const runs = useRuns();
  const named = params.run ?? state.a;
  const run = useRun(named) ?? runs.find((one) => one.isDefault) ?? runs[0];
  if (state.embed) return html`<main class=${`embedded page-${page}`}>${children}</main>`;
  return html`<a class="skip" href="#main">To the page</a>
    <nav class="rail" aria-label="places">
      <a class="brand" href=${href.runs()}>evigraph</a>
      <${Search} run=${run} />
      ${run && html`<label class="switch"><span class="unseen">run</span>
        <select value=${run.name} aria-label="run" onChange=${(/** @type {any} */ event) => go(href.run(event.target.value))}>
          ${runs.map((one) => html`<option key=${one.name} value=${one.name}>${one.name}</option>`)}</select></label>`}
      <ul>
        ${places(run?.name).map(([name, to, pages]) => html`<li key=${name}><a href=${to} aria-current=${pages.includes(page) ? "page" : undefined}>${name}</a></li>`)}
      </ul>
      <${Theme} />
    </nav>
    <div class="column">
      <${Newer} />
      <header class="where"><${Trail} page=${page} params=${params} />${run && page !== "runs" && page !== "compare" && html`<span class="figures">${run.accuracy === null ? "" : `${percent(run.accuracy)} right of `}${run.imageCount.toLocaleString("en-US")} images</span>`}</header>
      <main id="main" class=${`page-${page}`} tabindex="-1">${children}</main>
    </div>`;
}

/**
 * The five places: name, address, and the pages that belong to it.
 * @param {string | undefined} run
 * @returns {[string, string, string[]][]}
 */
function places(run) {
  if (!run) return [["Runs", href.runs(), ["runs"]]];
  return [
    ["Runs", href.runs(), ["runs"]],
    ["This run", href.run(run), ["run"]],
    ["Classes", href.classes(run), ["classes", "class", "channel"]],
    ["Failures", href.failures(run), ["failures", "image"]],
    ["Compare", href.compare({ a: run }), ["compare"]],
  ];
}

/** run > class > channel. @param {{page: string, params: Record<string, string>}} given */
function Trail({ page, params }) {
  /** @type {[string, string | null][]} */
  const steps = [["Runs", href.runs()]];
  if (params.run) steps.push([params.run, href.run(params.run)]);
  if (page === "classes" || page === "class") steps.push(["classes", href.classes(params.run)]);
  if (page === "failures") steps.push(["failures", null]);
  if (page === "compare") steps.push(["compare", null]);
  if (page === "class") steps.push([`class ${params.index}`, null]);
  if (page === "channel") steps.push([`${params.layer} ${params.index}`, null]);
  if (page === "image") steps.push([`image ${params.id}`, null]);
  return html`<nav class="trail" aria-label="where this is"><ol>${steps.map(([name, to], place) => html`<li key=${place}>${to && place < steps.length - 1 ? html`<a href=${to}>${name}</a>` : html`<span aria-current="page">${name}</span>`}</li>`)}</ol></nav>`;
}

/** A quiet line when the database was published anew. */
function Newer() {
  const [newer, setNewer] = useState(false);
  useEffect(() => onNewerVersion(() => setNewer(true)), []);
  if (!newer) return null;
  return html`<p class="newer" role="status">Newer data were published. <button type="button" onClick=${() => location.reload()}>Reload</button></p>`;
}

function Theme() {
  const shown = () => document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const [theme, setTheme] = useState(shown);
  const other = theme === "dark" ? "light" : "dark";
  const change = () => {
    document.documentElement.dataset.theme = other;
    try {
      localStorage.setItem("evigraph-theme", other);
    } catch {
      // Without storage it lasts as long as the page.
    }
    setTheme(other);
  };
  return html`<button type="button" class="theme quiet" onClick=${change}>${other === "dark" ? "Dark" : "Light"}</button>`;
}
