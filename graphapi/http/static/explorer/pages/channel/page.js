// A channel: what it looks at, what it serves, what it is made of, who is like it, and whether removing it matters.

import { evidenceLayers, useKeys, useQuery, useRun } from "../../lib/hooks.js";
import { html } from "../../lib/vendor.js";
import { States } from "../../components/panel.js";
import { Alike } from "./alike.js";
import { Card } from "./card.js";
import { Classes } from "./classes.js";
import { Context } from "./context.js";
import { Head, neighbour, ofLogits } from "./head.js";
import { Fed, Feeds } from "./neighbours.js";
import { Patches } from "./patches.js";
import { CHANNEL, OF_CLASS } from "./queries.js";
import { Verification } from "./verification.js";

/** @typedef {{run: string, layer: string, index: number}} Place of a channel */

const PATCHES = 16;
const LISTED = 10;

/** @param {{address: import("../../lib/address.js").Address}} given */
export function Page({ address }) {
  const { params, state } = address;
  const run = /** @type {import("../../lib/hooks.js").Run} */ (useRun(params.run));
  const place = { run: params.run, layer: params.layer, index: Number(params.index) };
  const known = evidenceLayers(run).find((layer) => layer.name === params.layer);
  const asked = { run: place.run, layer: place.layer, index: Number.isInteger(place.index) ? place.index : -1 };
  const always = useQuery(CHANNEL, { ...asked, classes: rows(state.classes, LISTED) });
  const ofClass = useQuery(OF_CLASS, {
    ...asked,
    class: state.class ? `index:${state.class}` : null,
    name: `index:${state.class ?? 0}`,
    isChosen: Boolean(state.class),
    patches: rows(state.patches, PATCHES),
    context: rows(state.context, LISTED),
    feeds: rows(state.feeds, LISTED),
    fed: rows(state.fed, LISTED),
  });
  // Where arrows scroll what is focused, they do that.
  const step = (/** @type {number} */ by) => (/** @type {KeyboardEvent} */ event) => {
    if (!(event.target instanceof Element && event.target.closest(".table, pre"))) neighbour(place, by, known);
  };
  useKeys({ ArrowLeft: step(-1), ArrowRight: step(1) });
  if (run.layers[run.layers.length - 1].name === params.layer) return ofLogits(place);
  if (always.error) return html`<h1>${params.layer} ${params.index}</h1><${States} result=${always}><//>`;
  const evidence = ofClass.data?.run.channel;
  const chosen = state.class ? (ofClass.data?.run.chosen ?? null) : null;
  const forClass = state.class ? ` for ${chosen?.name ?? `class ${state.class}`}` : "";
  const given = {
    place, run, layer: known, state, always, evidence, chosen, forClass,
    channel: always.data?.run.channel,
    result: ofClass,
    unheld: evidence && evidence.peaks.totalCount === 0 && `No decision${forClass} holds this channel.`,
  };
  // Of a class that it does not serve no list has rows, and to say so once is enough.
  const held = !given.unheld || Boolean(state.embed);
  return html`
    <${Head} ...${given} />
    <div class="panels"><${Card} ...${given} /><${Classes} ...${given} /></div>
    <${Patches} ...${given} />
    ${held && html`<${Context} ...${given} /><div class="panels"><${Feeds} ...${given} /><${Fed} ...${given} /></div>`}
    <${Alike} key=${state.alike} ...${given} />
    ${held && html`<${Verification} ...${given} />`}`;
}

/** How many rows the state asks for, up to a page's 100. @param {string | undefined} text @param {number} least */
function rows(text, least) {
  const wanted = Number(text ?? least);
  return Number.isInteger(wanted) ? Math.min(100, Math.max(least, wanted)) : least;
}
