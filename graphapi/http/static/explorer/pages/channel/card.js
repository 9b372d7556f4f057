// The card: degree and its place in the layer, and how clear the channel is by what its strongest patches show.

import { href } from "../../lib/address.js";
import { count, number, percent } from "../../lib/format.js";
import { html, Plot } from "../../lib/vendor.js";
import { Chart } from "../../components/chart.js";
import { Panel } from "../../components/panel.js";
import { Picture } from "../../components/picture.js";
import { Term } from "../../components/term.js";

/** @param {any} given see page.js */
export function Card({ place, layer, channel, always }) {
  const degree = channel?.discriminativeDegree;
  const rank = channel?.degreeRank;
  const bins = channel?.layer.discriminativeDegree.histogram ?? [];
  const rows = () => bins.map((/** @type {number} */ channels, /** @type {number} */ bin) => ({ layer: place.layer, from: bin / bins.length, to: (bin + 1) / bins.length, channels, this_channel: bin === binOf(degree, bins.length) }));
  return html`<${Panel} id="card" title="Card" result=${always} rows=${rows} picture=${true} height=${240}>
    ${channel && html`<dl class="channel-facts">
      <div><dt><${Term} word="degree">Discriminative degree<//></dt><dd><b>${number(degree)}</b>${rank && html` <span class="dim">of ${count(rank.edges)} edges</span>`}</dd></div>
      <div><dt>Layer</dt><dd>${place.layer}${layer && html` <span class="dim">${layer.height} × ${layer.width}, ${count(layer.channels)} channels</span>`}</dd></div>
    </dl>
    ${rank ? html`<p class="stands">Higher than ${percent(rank.lower / rank.channels, 0)} of ${place.layer}'s channels <span class="dim">(${count(rank.lower)} of ${count(rank.channels)} that have edges)</span>.</p>
      <${Chart} of=${[bins, degree]} label=${`number of channels of ${place.layer} by degree; this one has ${number(degree)}`} plot=${histogram(bins, degree)} />`
      : html`<p class="stands dim">It has no degree: no edge of the first three ranks of a labelled image leads to it.</p>`}
    <${Clarity} run=${place.run} nodes=${channel.strongest.nodes} />`}
  <//>`;
}

/** @param {number | null} degree @param {number} bins */
const binOf = (degree, bins) => (degree === null || degree === undefined ? -1 : Math.min(bins - 1, Math.floor(degree * bins)));

/** @param {number[]} bins @param {number | null} degree */
const histogram = (bins, degree) => (/** @type {number} */ width) => ({
  width,
  style: { background: "none", fontSize: "12px" },
  height: 110,
  marginTop: 16,
  marginBottom: 32,
  marginLeft: 28,
  x: { domain: [0, 1], label: "channels by degree", ticks: 5 },
  y: { label: null, ticks: Math.min(3, Math.max(...bins)), tickFormat: "d", grid: true },
  marks: [
    Plot.rectY(bins.map((channels, bin) => ({ channels, from: bin / bins.length, to: (bin + 1) / bins.length, own: bin === binOf(degree, bins.length) })), {
      x1: "from", x2: "to", y: "channels", insetLeft: 0.5, insetRight: 0.5,
      fill: (/** @type {any} */ row) => (row.own ? "var(--predicted)" : "var(--neutral)"),
      fillOpacity: (/** @type {any} */ row) => (row.own ? 1 : 0.5),
      title: (/** @type {any} */ row) => `${row.channels} channels of degree ${row.from.toFixed(2)} to ${row.to.toFixed(2)}`,
    }),
    Plot.ruleY([0], { stroke: "var(--line)" }),
    ...(degree === null || degree === undefined ? [] : [Plot.ruleX([degree], { stroke: "var(--predicted)", strokeWidth: 2 }), Plot.text([degree], { x: (/** @type {number} */ value) => value, frameAnchor: "top", dy: -10, text: () => "this channel", fill: "var(--predicted)", textAnchor: degree > 0.8 ? "end" : degree < 0.2 ? "start" : "middle" })]),
  ],
});

/**
 * Four patches, and how alike the images are that the strongest ones come from.
 * @param {{run: string, nodes: any[]}} given
 */
function Clarity({ run, nodes }) {
  const shown = nodes.filter((node) => node.cropUrl).slice(0, 4);
  const common = mostCommon(nodes.map((node) => node.image.label ?? node.image.predicted));
  if (!common) return null;
  const labelled = nodes.some((node) => node.image.label);
  return html`<div class="clarity">
    ${shown.length > 0 && html`<span class="clarity-patches">${shown.map((node, at) => html`<${Picture} key=${at} path=${node.cropUrl} says=${`patch ${at + 1}, of ${(node.image.label ?? node.image.predicted).name}`} size=${56} />`)}</span>`}
    <p><${Term} word="clarity">Clarity<//>: ${common.count === 1 && nodes.length > 1 ? html`its <b>${nodes.length}</b> strongest places lie in images of as many classes.`
      : html`<b>${common.count} of ${nodes.length}</b> strongest places lie in images ${labelled ? "labelled" : "predicted as"} <a href=${href.class(run, common.of.index)}>${common.of.name}</a>.`}</p>
  </div>`;
}

/** @param {{index: number, name: string}[]} classes */
function mostCommon(classes) {
  /** @type {Map<number, {of: {index: number, name: string}, count: number}>} */
  const counts = new Map();
  for (const one of classes) counts.set(one.index, { of: one, count: (counts.get(one.index)?.count ?? 0) + 1 });
  return [...counts.values()].sort((a, b) => b.count - a.count)[0];
}
