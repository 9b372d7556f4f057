// The explorer: a page is a function of (address, data); this file finds the page of an address and puts the frame around it.

import { AddressContext, href, onAddress, parse } from "./lib/address.js";
import { RunsContext, useQuery } from "./lib/hooks.js";
import { Fragment, html, render, useEffect, useState } from "./lib/vendor.js";
import { Frame } from "./components/frame.js";
import { States } from "./components/panel.js";

const RUNS = `query Runs {
  runs(first: 100) {
    nodes {
      name model dataset imageCount skippedCount decisionCount edgeCount topN accuracy isDefault createdAt
      layers { index name module channels height width }
    }
  }
}`;

/** Modules of pages, loaded when one is first opened: each exports Page({address}). @type {Record<string, () => Promise<{Page: any}>>} */
const PAGES = {
  runs: () => import("./pages/runs/page.js"),
  run: () => import("./pages/run/page.js"),
  classes: () => import("./pages/classes/page.js"),
  class: () => import("./pages/class/page.js"),
  channel: () => import("./pages/channel/page.js"),
  image: () => import("./pages/image/page.js"),
  failures: () => import("./pages/failures/page.js"),
  compare: () => import("./pages/compare/page.js"),
};

function App() {
  const [address, setAddress] = useState(() => parse(location));
  const result = useQuery(RUNS);
  useEffect(() => onAddress(setAddress), []);
  const runs = result.data?.runs.nodes ?? [];
  return html`<${AddressContext.Provider} value=${address}><${RunsContext.Provider} value=${runs}>
    <${Frame}><${States} result=${result} height=${400}><${Shown} address=${address} runs=${runs} /><//><//>
  <//><//>`;
}

/**
 * The page of an address, or why there is none.
 * @param {{address: import("./lib/address.js").Address, runs: import("./lib/hooks.js").Run[]}} given
 */
function Shown({ address, runs }) {
  const [pages, setPages] = useState(/** @type {Record<string, any>} */ ({}));
  const [failed, setFailed] = useState("");
  const { page, params } = address;
  const known = !params.run || runs.some((run) => run.name === params.run);
  useEffect(() => {
    document.title = ["evigraph", params.run, params.layer, params.index ?? params.id].filter(Boolean).join(" · ");
    if (!PAGES[page] || pages[page]) return;
    PAGES[page]().then((module) => setPages((/** @type {Record<string, any>} */ before) => ({ ...before, [page]: module.Page })), (error) => setFailed(error.message));
  }, [page, location.href]);
  if (!PAGES[page]) return html`<${Missing} says=${`There is no page at ${location.pathname}.`} />`;
  if (!known) return html`<${Missing} says=${`This database has no run called ${params.run}; it has ${runs.map((run) => run.name).join(", ") || "none yet"}.`} />`;
  if (failed) return html`<${Missing} says=${`The page could not be loaded: ${failed}`} />`;
  const Page = pages[page];
  if (!Page) return html`<div class="skeleton" style=${{ height: "400px" }} role="status"><span class="unseen">loading</span></div>`;
  // Another thing is another page: nothing of the last one's state stays.
  return html`<${Fragment} key=${`${page} ${JSON.stringify(params)}`}><${Page} address=${address} /><//>`;
}

/** @param {{says: string}} given */
const Missing = ({ says }) => html`<section class="panel"><p class="empty">${says} <a href=${href.runs()}>All runs</a></p></section>`;

const place = document.getElementById("app");
if (place) render(html`<${App} />`, place);
