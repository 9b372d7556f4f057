// What a class is confused with, either way, each pair a way to its failures.

import { href } from "../../lib/address.js";
import { count, imagesOf } from "../../lib/format.js";
import { html } from "../../lib/vendor.js";
import { Panel } from "../../components/panel.js";

/** @param {{run: string, result: import("../../lib/hooks.js").Result, state: Record<string, string>}} given */
export function FailuresPanel({ run, result, state }) {
  const of = result.data?.run.class;
  const { layer } = state;
  const none = of && of.confusedWith.totalCount + of.confusedFrom.totalCount === 0 && (of.imageCount === 0 ? "No image has this label, and none with another label was predicted as it." : "No image of this class was missed, and none of another was predicted as it.");
  return html`<${Panel} id="failures" title=${state.embed && of ? `Failures of ${of.name}` : "Its failures"} result=${result} empty=${none} rows=${() => pairs(of)}>
    ${of && html`<div class="two">
      <${Pairs} run=${run} layer=${layer} title="Its images were taken for" none="none was missed" total=${of.confusedWith.totalCount}
        pairs=${of.confusedWith.nodes.map((/** @type {any} */ one) => ({ label: of, predicted: one.predicted, images: one.images, whole: of.imageCount, shown: one.predicted }))} />
      <${Pairs} run=${run} layer=${layer} title="It was given to images of" none="to none of another class" total=${of.confusedFrom.totalCount}
        pairs=${of.confusedFrom.nodes.map((/** @type {any} */ one) => ({ label: one.label, predicted: of, images: one.images, whole: one.label.imageCount, shown: one.label }))} />
    </div>`}
  <//>`;
}

/** @param {{run: string, layer: string | undefined, title: string, none: string, total: number, pairs: any[]}} given */
function Pairs({ run, layer, title, none, total, pairs }) {
  return html`<div><h3>${title}</h3>
    ${pairs.length === 0 && html`<p class="dim">${none}</p>`}
    <ul class="bars">${pairs.map(({ label, predicted, images, whole, shown }) => html`<li key=${shown.index}>
      <a class="cut" href=${href.class(run, shown.index)} title=${shown.name}>${shown.name}</a>
      <span class="track"><span class="bar" style=${{ width: `${Math.max(2, (images / whole) * 100)}%` }}></span></span>
      <a href=${href.failures(run, { label: label.index, predicted: predicted.index, layer })} title="why: these failures">${imagesOf(images, whole)}</a></li>`)}</ul>
    ${pairs.length < total && html`<p class="dim">${pairs.length} of ${count(total)} classes shown; the confusion matrix and the query have all.</p>`}
  </div>`;
}

/** @param {any} of */
const pairs = (of) => [
  ...of.confusedWith.nodes.map((/** @type {any} */ one) => ({ label: of.name, predicted: one.predicted.name, images: one.images, imagesOfLabel: of.imageCount })),
  ...of.confusedFrom.nodes.map((/** @type {any} */ one) => ({ label: one.label.name, predicted: of.name, images: one.images, imagesOfLabel: one.label.imageCount })),
];
