// The name of the channel, the ways to others of its layer, and the class that it is looked at for.

import { go, href, setState } from "../../lib/address.js";
import { count } from "../../lib/format.js";
import { html } from "../../lib/vendor.js";

/** @typedef {import("./page.js").Place} Place */

/**
 * Go to the channel before or after, within the layer; what was chosen stays.
 * @param {Place} place @param {number} step @param {import("../../lib/hooks.js").Layer | undefined} layer
 */
export function neighbour(place, step, layer) {
  const index = place.index + step;
  if (layer && index >= 0 && index < layer.channels) go(beside(place, index));
}

/** Another channel of the layer, looked at for the same class. @param {Place} place @param {number} index */
const beside = (place, index) => href.channel(place.run, place.layer, index, chosen());

/** What stays from channel to channel. */
function chosen() {
  const now = new URLSearchParams(location.search);
  return Object.fromEntries(["class", "picture", "alike", "threshold"].map((name) => [name, now.get(name)]));
}

/** A channel of the logits is a class, which has a page. @param {Place} place */
export const ofLogits = (place) => html`<h1>${place.layer} ${place.index}</h1>
  <section class="panel"><p class="empty">A channel of ${place.layer} is a class: <a href=${href.class(place.run, place.index)}>class ${place.index}</a>.</p></section>`;

/** @param {any} given see page.js */
export function Head({ place, state, layer, channel, always, chosen }) {
  if (state.embed) return null;
  const last = layer ? layer.channels - 1 : place.index;
  const strongest = always.data?.run.channelSupport.nodes ?? [];
  const listed = strongest.some((/** @type {any} */ row) => row.channel.index === place.index);
  return html`<header class="channel-head">
    <h1>${place.layer} <span class="dim">channel</span> ${place.index}</h1>
    <nav class="tools" aria-label="channels of ${place.layer}">
      ${step(place, place.index - 1, place.index > 0, "Previous")}${step(place, place.index + 1, place.index < last, "Next")}
      <label><span class="dim">Strongest of ${place.layer}</span> <select aria-label=${`strongest channels of ${place.layer}`} value=${place.index} onChange=${(/** @type {any} */ event) => go(beside(place, Number(event.target.value)))}>
        ${!listed && html`<option value=${place.index}>${place.index}</option>`}
        ${strongest.map((/** @type {any} */ row) => html`<option key=${row.channel.index} value=${row.channel.index}>${row.channel.index} · ${count(row.decisions)} decisions</option>`)}
      </select></label>
      <${ClassChoice} channel=${channel} state=${state} chosen=${chosen} />
    </nav>
  </header>`;
}

/** @param {Place} place @param {number} index @param {boolean} there @param {string} name */
const step = (place, index, there, name) => (there ? html`<a class="channel-step" rel=${name === "Next" ? "next" : "prev"} href=${beside(place, index)} title=${`${place.layer} ${index}`}>${name === "Next" ? html`${index} →` : html`← ${index}`}<span class="unseen"> ${name} channel</span></a>` : html`<span class="channel-step dim" aria-hidden="true">${name === "Next" ? "→" : "←"}</span>`);

/** The class whose decisions count: all, or one that the channel supports. @param {any} given */
function ClassChoice({ channel, state, chosen }) {
  const classes = (channel?.support.nodes ?? []).map((/** @type {any} */ row) => row.class);
  const listed = !state.class || classes.some((/** @type {any} */ one) => String(one.index) === state.class);
  return html`<label><span class="dim">Decisions for</span> <select aria-label="class whose decisions count" value=${state.class ?? ""} onChange=${(/** @type {any} */ event) => setState({ class: event.target.value, patches: null })}>
    <option value="">every class</option>
    ${!listed && html`<option value=${state.class}>${chosen?.name ?? `class ${state.class}`}</option>`}
    ${classes.map((/** @type {any} */ one) => html`<option key=${one.index} value=${String(one.index)}>${one.name}</option>`)}
  </select></label>`;
}
