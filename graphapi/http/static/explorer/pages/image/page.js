// One image: each of its decisions as a pyramid of evidence, from the class down to the lowest layer (Fig. 5 of the paper).

import { go, href, setState } from "../../lib/address.js";
import { fileName } from "../../lib/format.js";
import { useQuery, useRun } from "../../lib/hooks.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../../lib/vendor.js";
import { Panel, States } from "../../components/panel.js";
import { media } from "../../components/picture.js";
import { Controls, Shown } from "./controls.js";
import { Head } from "./head.js";
import { Inspector } from "./inspector.js";
import { useImageKeys } from "./keys.js";
import { Large } from "./large.js";
import { across, cardOf } from "./layout.js";
import { Listing, rowsOfTable } from "./listing.js";
import { Pins } from "./pins.js";
import { Pyramid } from "./pyramid.js";
import { IMAGE, OF_ID } from "./queries.js";
import { Strip } from "./strip.js";
import { chosen, topOf, viewOf } from "./view.js";

const FOLD = 10;
const LEAST_FOLD = 5;

/** @param {{address: import("../../lib/address.js").Address}} given */
export function Page({ address }) {
  return /^\d+$/.test(address.params.id) ? html`<${OfIndex} address=${address} index=${Number(address.params.id)} />` : html`<${OfId} address=${address} />`;
}

/** An image that is named by its global id: the address of its index is taken instead. @param {{address: import("../../lib/address.js").Address}} given */
function OfId({ address }) {
  const { run, id } = address.params;
  const result = useQuery(OF_ID, { id });
  const index = result.data?.node?.index;
  useEffect(() => {
    if (index !== undefined) go(href.image(run, index, address.state), { replace: true });
  }, [index]);
  return html`<${States} result=${result} height=${400}><p class="empty">${result.data && index === undefined ? `${id} is the id of no image, but of a ${result.data.node?.__typename ?? "thing that is not there"}.` : ""}</p><//>`;
}

/** @param {{address: import("../../lib/address.js").Address, index: number}} given */
function OfIndex({ address, index }) {
  const run = /** @type {import("../../lib/hooks.js").Run} */ (useRun(address.params.run));
  const { state } = address;
  const result = useQuery(IMAGE, { run: run.name, index, top: topOf(run, state).askedTop });
  const image = result.data?.run?.image;
  const [width, measured] = useWidth();
  const choice = useMemo(() => chosen(run, state), [run, JSON.stringify(state)]);
  const thumbnail = image?.thumbnailUrl ?? null;
  const aspect = useAspect(thumbnail);
  const fold = Math.min(FOLD, Math.max(LEAST_FOLD, across(width, cardOf(Boolean(thumbnail))) - 1));
  const view = useMemo(() => image && width > 0 ? viewOf(image, choice, state.root, fold) : null, [image, choice, state.root, fold, width > 0]);
  useImageKeys(view, choice, state);
  useEffect(() => {
    if (image) document.title = `${fileName(image.uri)} · ${run.name} · evigraph`;
  }, [image]);
  if (!image) return html`<${States} result=${result} height=${600}><p class="empty">There is no such image.</p><//>`;
  const focus = (/** @type {string} */ id) => setState({ focus: id });
  const toggled = (/** @type {string} */ layer) => {
    const open = new Set(choice.open);
    if (!open.delete(layer)) open.add(layer);
    setState({ open: [...open].join(",") }, { replace: true });
  };
  return html`<div class=${state.embed ? "" : "with-inspector"}>
    <div>
      ${!state.embed && html`<${Head} run=${run} image=${image} view=${view} />`}
      <${Panel} id="pyramid" title="Evidence, from the class down" result=${result} picture height=${600}
        rows=${() => (view ? rowsOfTable(view) : [])} tools=${view && html`<${Shown} show=${choice.show} pictures=${Boolean(thumbnail)} />`}>
        <${Notes} image=${image} view=${view} />
        ${view && html`<${Controls} run=${run} choice=${choice} layers=${choice.layers.length} />
          <${Pins} view=${view} choice=${choice} drawing=${{ show: choice.show }} />`}
        <div class="pyramid-place" ref=${measured}>
          ${view && html`<${Pyramid} view=${view} width=${width} show=${choice.show} aspect=${aspect} thumbnail=${thumbnail} pins=${choice.pins} open=${choice.open} onFocus=${focus} onOpen=${toggled} />`}
        </div>
        ${view && html`<${Legend} view=${view} pictures=${Boolean(thumbnail)} /><${Listing} view=${view} run=${run} />`}
      <//>
      <${Strip} run=${run} image=${image} result=${result} root=${state.root} />
    </div>
    ${!state.embed && html`<${Inspector} run=${run} image=${image} view=${view} choice=${choice} />`}
    ${state.large && html`<${Large} image=${image} view=${view} aspect=${aspect} />`}
  </div>`;
}

/** The width of an element, kept up to date. @returns {[number, {current: HTMLElement | null} | ((element: HTMLElement | null) => void)]} */
function useWidth() {
  const [element, setElement] = useState(/** @type {HTMLElement | null} */ (null));
  const [width, setWidth] = useState(0);
  const ref = useRef((/** @type {HTMLElement | null} */ found) => setElement(found));
  useLayoutEffect(() => {
    if (!element) return;
    const look = () => setWidth(Math.floor(element.clientWidth));
    const watch = new ResizeObserver(look);
    watch.observe(element);
    look();
    return () => watch.disconnect();
  }, [element]);
  return [width, ref.current];
}

/** Width of a picture over its height; 1 until it is known. @param {string | null} path */
function useAspect(path) {
  const [aspect, setAspect] = useState(1);
  useEffect(() => {
    if (!path) return;
    const picture = new Image();
    picture.onload = () => setAspect(picture.naturalWidth / picture.naturalHeight || 1);
    picture.src = media(path);
    return () => { picture.onload = null; };
  }, [path]);
  return aspect;
}

/** What the run lacks, and the option that adds it. @param {{image: any, view: import("./view.js").View | null}} given */
function Notes({ image, view }) {
  const lines = [];
  const some = view?.tree.edges.some((edge) => edge.mapUrl);
  if (!image.thumbnailUrl && !some) lines.push(html`The run keeps no pictures; <code>evigraph extend RUN --thumbnails 224 --maps</code> adds them.`);
  else if (!image.thumbnailUrl) lines.push(html`The run keeps no thumbnails; <code>evigraph extend RUN --thumbnails 224</code> adds them.`);
  else if (view && !some) lines.push(html`The run keeps no activation maps; <code>evigraph extend RUN --maps</code> adds them.`);
  for (const { decision, name } of view?.roots ?? []) {
    if (decision.evidence.truncated) lines.push(html`Of ${name} not all edges are here, only the strongest of each node.`);
    if (decision.cutNodeCount) lines.push(html`Of ${name} the run left ${decision.cutNodeCount} nodes undecomposed, of ${(decision.cutImportance * 100).toFixed(1)} % of the decision.`);
  }
  return lines.map((line, at) => html`<p key=${at} class="note">${line}</p>`);
}

/** @param {{view: import("./view.js").View, pictures: boolean}} given */
function Legend({ view, pictures }) {
  return html`<p class="legend">
    ${view.roots.map(({ hue, name }) => html`<span key=${hue}><i class=${`swatch ${hue}`}></i>${name} (${hue})</span>`)}
    <span>width of a curve: root of the edge's share</span>
    ${pictures && html`<span>activation <i class="heat"></i> low to high</span>`}
    <span class="keys">arrows walk · <kbd>p</kbd> pins · <kbd>g</kbd> groups · <kbd>Esc</kbd> clears</span>
  </p>`;
}
