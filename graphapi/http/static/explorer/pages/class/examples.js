// Example images of a class: right, missed, and those of others that it was given to.

import { setState } from "../../lib/address.js";
import { count } from "../../lib/format.js";
import { html } from "../../lib/vendor.js";
import { Panel } from "../../components/panel.js";
import { Strip } from "../../components/strip.js";

/** @type {{key: string, title: (total: number) => string, state?: Record<string, string>}[]} */
const KINDS = [
  { key: "right", title: (total) => `Right: ${count(total)}` },
  { key: "missed", title: (total) => `Missed, predicted as another class: ${count(total)}`, state: { root: "label" } },
  { key: "taken", title: (total) => `Of another class, predicted as this one: ${count(total)}` },
  { key: "unlabelled", title: (total) => `Predicted as it, without a label: ${count(total)}` },
];

/** Images by kind. Those without a label are among the predicted ones. @param {any} answer */
function byKind({ class: { predicted, correct, wrong }, right, missed, taken, predicted: { nodes } }) {
  const unlabelled = { totalCount: predicted - correct - wrong, nodes: nodes.filter((/** @type {any} */ image) => !image.label) };
  return /** @type {Record<string, any>} */ ({ right, missed, taken, unlabelled });
}

/** @param {{run: string, result: import("../../lib/hooks.js").Result, state: Record<string, string>}} given */
export function ImagesPanel({ run, result, state }) {
  const answer = result.data && byKind(result.data.run);
  const kinds = answer ? KINDS.filter(({ key }) => answer[key].totalCount > 0) : [];
  const all = kinds.flatMap(({ key }) => answer[key].nodes.map((/** @type {any} */ image) => ({ ...image, kind: key })));
  const left = answer && KINDS.some(({ key }) => answer[key].nodes.length < answer[key].totalCount);
  const none = answer && kinds.length === 0 && "No image of the run has this label, and none was predicted as it.";
  return html`<${Panel} id="images" title=${state.embed && result.data ? `Example images of ${result.data.run.class.name}` : "Example images"} result=${result} height=${320} empty=${none} rows=${() => all.map(flat)}>
    ${kinds.map(({ key, title, state: opens }) => html`<h3 key=${key}>${title(answer[key].totalCount)}</h3>
      <${Strip} run=${run} images=${answer[key].nodes} says=${title(answer[key].totalCount)} state=${opens} />`)}
    ${left && html`<p class="more">${state.images === "more" ? html`<span class="dim">The first 50 of each are shown; the query's cursor goes on.</span>` : html`<button type="button" onClick=${() => setState({ images: "more" })}>The first of each are shown: more</button>`}</p>`}
    ${all.length > 0 && !all.some(({ thumbnailUrl }) => thumbnailUrl) && html`<p class="empty">The run keeps no pictures: evigraph extend RUN --thumbnails 224 adds them.</p>`}
  <//>`;
}

/** @param {any} image */
const flat = ({ kind, index, uri, label, predicted, probability }) => ({ kind, index, uri, label: label?.name, predicted: predicted.name, probability });
