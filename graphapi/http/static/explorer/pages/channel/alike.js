// Channels of the layer that are like this one, and the group that likeness makes of them.

import { href, setState } from "../../lib/address.js";
import { number } from "../../lib/format.js";
import { useQuery } from "../../lib/hooks.js";
import { html } from "../../lib/vendor.js";
import { Bars } from "../../components/bars.js";
import { Panel } from "../../components/panel.js";
import { Picture } from "../../components/picture.js";
import { Term } from "../../components/term.js";
import { ALIKE } from "./queries.js";

const MIN_EDGES = 10;
/** By its name in the address: what the service calls it, its own name, and the likeness that joins two channels. */
const KINDS = {
  edges: { by: "EDGES", name: "Edges", threshold: 0.9 },
  masks: { by: "MASKS", name: "Masks", threshold: 0.5 },
};

/** @param {any} given see page.js */
export function Alike({ place, state }) {
  const kind = state.alike === "masks" ? "masks" : "edges";
  const wanted = Number(state.threshold ?? KINDS[kind].threshold);
  const threshold = wanted >= 0.05 && wanted <= 1 ? wanted : KINDS[kind].threshold;
  const result = useQuery(ALIKE, { ...place, by: KINDS[kind].by, threshold, minEdges: MIN_EDGES });
  const channel = result.data?.run.channel;
  const alike = channel?.alike ?? [];
  const to = (/** @type {number} */ index) => href.channel(place.run, place.layer, index, { alike: state.alike, threshold: state.threshold });
  const bars = alike.map((/** @type {any} */ row) => ({
    key: String(row.channel.index),
    name: `${place.layer} ${row.channel.index}`,
    to: to(row.channel.index),
    value: row.likeness,
    says: kind === "masks" ? `${row.overlaps} of ${row.edges} that keep ${row.kept.index}` : number(row.likeness),
    picture: row.channel.peaks.nodes[0]?.cropUrl,
  }));
  const pictured = bars.some((/** @type {any} */ bar) => bar.picture);
  const rows = () => alike.map((/** @type {any} */ row) => ({ layer: place.layer, channel: row.channel.index, likeness: row.likeness, kept: row.kept?.index, overlaps: row.overlaps, edges: row.edges }));
  const switches = html`<div class="switches" role="group" aria-label="what likeness is">
    ${Object.entries(KINDS).map(([name, one]) => html`<button type="button" key=${name} aria-pressed=${name === kind} onClick=${() => setState({ alike: name === "edges" ? null : name, threshold: null })}>${one.name}</button>`)}</div>`;
  return html`<${Panel} id="alike" title=${kind === "edges" ? "Channels of alike edges" : "Channels of alike masks"} tools=${switches} result=${result} rows=${rows} height=${260} empty=${channel && why(channel, kind)}>
    <p class="dim aside">${kind === "edges" ? html`<${Term} word="likeness">Cosine<//> of what they are evidence for and what is evidence for them.` : html`Decompositions that keep one of the two, and in how many of them the other's <${Term} word="mask">mask<//> is the same.`}</p>
    <div class="panels side-by-side">
      <${Bars} bars=${pictured ? bars : bars.map((/** @type {any} */ bar) => ({ ...bar, picture: undefined }))} label="most alike channels" />
      <${Group} group=${channel?.group} own=${place.index} layer=${place.layer} threshold=${threshold} to=${to} pictured=${pictured} />
    </div>
  <//>`;
}

/** Why there is no list, if there is none. @param {any} channel @param {string} kind */
function why(channel, kind) {
  if (channel.alike === null) return "The run did not look for overlapping masks: evigraph extend RUN_DIR --overlaps adds them, and evigraph publish shows them here.";
  if (channel.alike.length) return null;
  return kind === "masks"
    ? `No channel's mask overlaps this one's, in decompositions of a channel with at least ${MIN_EDGES} edges.`
    : `Channels are compared that have at least ${MIN_EDGES} edges, since a few are alike by chance: this one has fewer, or no other has as many.`;
}

/** @param {{group: any, own: number, layer: string, threshold: number, to: (index: number) => string, pictured: boolean}} given */
function Group({ group, own, layer, threshold, to, pictured }) {
  return html`<div class="alike-group">
    <label class="likeness-at">Group at <b>${threshold.toFixed(2)}</b>
      <input type="range" min="0.05" max="1" step="0.05" value=${threshold} aria-label="likeness that joins two channels" onInput=${(/** @type {any} */ event) => setState({ threshold: event.target.value }, { replace: true })} /></label>
    ${group ? html`<p>One of <b>${group.size}</b> channels joined by likeness of ${threshold.toFixed(2)} or more <span class="dim">(the least alike pair: ${number(group.least)}, mean ${number(group.mean)})</span>.</p>
      <ul class="group-channels" aria-label="channels of the group">${group.channels.map((/** @type {any} */ one) => html`<li key=${one.index} class=${one.index === own ? "marked" : ""}>
        <a href=${to(one.index)} aria-current=${one.index === own ? "true" : undefined}>${pictured && html`<${Picture} path=${one.peaks.nodes[0]?.cropUrl} says=${`strongest place of ${layer} ${one.index}`} size=${48} />`}<span>${one.index}</span></a></li>`)}</ul>`
      : html`<p class="dim">No other channel of ${layer} is so alike.</p>`}
  </div>`;
}
