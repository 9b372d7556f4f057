// A list of bars: a name that leads somewhere, a bar, and the figures that it was made of.

import { setState } from "../lib/address.js";
import { count } from "../lib/format.js";
import { html } from "../lib/vendor.js";
import { Picture } from "./picture.js";

/**
 * @typedef {object} Bar
 * @property {string} key @property {string} name @property {string} to the address that the name leads to
 * @property {number} value in 0..1 @property {string} says the figures, with their denominator
 * @property {string | null} [picture] path of a picture beside the name; undefined where rows have none
 * @property {boolean} [marked] whether it is the one that the page is about
 */

/** @param {{bars: Bar[], label: string}} given label: what the list is of */
export const Bars = ({ bars, label }) => html`<ol class=${bars.some((bar) => bar.picture !== undefined) ? "bar-list pictured" : "bar-list"} aria-label=${label}>
  ${bars.map((bar) => html`<li key=${bar.key} class=${bar.marked ? "marked" : ""}>
    ${bar.picture !== undefined && html`<${Picture} path=${bar.picture} says=${bar.name} size=${32} />`}
    <a class="bar-name" href=${bar.to} title=${bar.name}>${bar.name}</a>
    <span class="bar-track" aria-hidden="true"><span class="bar" style=${{ width: `${Math.max(0.5, Math.min(100, bar.value * 100))}%` }}></span></span>
    <span class="bar-says">${bar.says}</span>
  </li>`)}
</ol>`;

/**
 * A button that asks for more rows, where there are more, up to the 100 of a page.
 * @param {{name: string, shown: number, total: number}} given name: of the state, which holds how many are asked for
 */
export function More({ name, shown, total }) {
  if (total <= shown) return null;
  const next = shown < 50 ? 50 : 100;
  return html`<p class="more-rows">
    ${shown < 100 && html`<button type="button" class="quiet" onClick=${() => setState({ [name]: next })}>More</button>`}
    <span class="dim">${count(shown)} of ${count(total)}</span></p>`;
}
