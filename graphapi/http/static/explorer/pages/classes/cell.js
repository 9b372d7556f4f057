// The images of one cell of the matrix: one label, one predicted class.

import { href, setState } from "../../lib/address.js";
import { imagesOf } from "../../lib/format.js";
import { useQuery } from "../../lib/hooks.js";
import { html, useEffect, useRef } from "../../lib/vendor.js";
import { Panel } from "../../components/panel.js";
import { Strip } from "../../components/strip.js";
import { CELL } from "./queries.js";

const FEW = 12;
const MANY = 100;

/** @param {{run: string, label: string, predicted: string, more: boolean}} given classes by index */
export function CellImages({ run, label, predicted, more }) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const result = useQuery(CELL, { run, label: `index:${label}`, predicted: `index:${predicted}`, first: more ? MANY : FEW });
  useEffect(() => place.current?.scrollIntoView({ block: "nearest" }), [label, predicted, Boolean(result.data)]);
  const answer = result.data?.run;
  const images = answer?.images.nodes ?? [];
  const total = answer?.images.totalCount ?? 0;
  const tools = html`${label !== predicted && html`<a href=${href.failures(run, { label, predicted })}>Why: their failures</a>`}
    <button type="button" class="quiet" onClick=${() => setState({ label: null, predicted: null, images: null })}>Close</button>`;
  return html`<div ref=${place}><${Panel} id="cell" title=${answer ? title(run, answer) : "Images"} result=${result} tools=${tools} height=${140} rows=${() => images.map(flat)}
    empty=${answer && total === 0 && "No image has this label and this prediction."}>
    <${Strip} run=${run} images=${images} says="images of this cell" />
    ${images.length < total && html`<p class="more"><button type="button" disabled=${more} onClick=${() => setState({ images: "more" })}>${images.length} of ${total} shown${more ? "" : ": more"}</button></p>`}
  <//></div>`;
}

/** @param {string} run @param {any} answer */
const title = (run, { label, predicted, images }) => html`<a href=${href.class(run, label.index)}>${label.name}</a> predicted as <a href=${href.class(run, predicted.index)}>${predicted.name}</a>: ${imagesOf(images.totalCount, label.imageCount)}`;

/** @param {any} image */
const flat = ({ index, uri, probability, label, predicted }) => ({ index, uri, label: label?.name, predicted: predicted.name, probability });
