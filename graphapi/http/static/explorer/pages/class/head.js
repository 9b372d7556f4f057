// The name of a class, how right the network is on it, and what it is confused with.

import { href } from "../../lib/address.js";
import { count, imagesOf, percent } from "../../lib/format.js";
import { html } from "../../lib/vendor.js";

const SHOWN = 4;

/** @param {{run: string, result: import("../../lib/hooks.js").Result, embedded: boolean}} given */
export function Head({ run, result, embedded }) {
  const of = result.data?.run.class;
  if (embedded) return null;
  if (!of) return html`<div class="head"><h1>…</h1><p class="facts dim">loading</p></div>`;
  return html`<div class="head"><h1>${of.name}</h1>
    <p class="facts">
      <span class="dim">class ${of.index}${of.key && of.key !== of.name && ` · ${of.key}`}</span>
      ${of.imageCount > 0
        ? html`<span>${imagesOf(of.correct, of.imageCount)} right (${percent(of.accuracy)})</span>`
        : html`<span>no image has this label</span>`}
      <span>predicted for ${count(of.predicted)} ${of.predicted === 1 ? "image" : "images"}</span>
      <${Confused} run=${run} says="taken for" confusions=${of.confusedWith} end="predicted" />
      <${Confused} run=${run} says="given to images of" confusions=${of.confusedFrom} end="label" />
    </p></div>`;
}

/** @param {{run: string, says: string, confusions: any, end: string}} given */
function Confused({ run, says, confusions: { totalCount, nodes }, end }) {
  if (totalCount === 0) return null;
  return html`<span>${says} ${nodes.slice(0, SHOWN).map((/** @type {any} */ one, /** @type {number} */ place) => html`${place > 0 && ", "}<a key=${one[end].index} href=${href.class(run, one[end].index)}>${one[end].name}</a> ${count(one.images)}`)}${totalCount > SHOWN && html`, <a href="#failures">${totalCount - SHOWN} more</a>`}</span>`;
}
