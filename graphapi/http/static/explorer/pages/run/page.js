// One run: what was indexed, what its layers are like, and how far the evidence may be believed.

import { href } from "../../lib/address.js";
import { count, number, outOf, percent } from "../../lib/format.js";
import { evidenceLayers, useQuery, useRun } from "../../lib/hooks.js";
import { shortName } from "../../lib/names.js";
import { html } from "../../lib/vendor.js";
import { Chart } from "../../components/chart.js";
import { Panel } from "../../components/panel.js";
import { Table } from "../../components/table.js";
import { Term } from "../../components/term.js";
import { degreeChart, hasDegrees, NO_DEGREE, profileChart } from "./charts.js";
import { RUN } from "./queries.js";
import { Tests } from "./tests.js";

/** @param {{address: import("../../lib/address.js").Address}} given */
export function Page({ address }) {
  const run = /** @type {import("../../lib/hooks.js").Run} */ (useRun(address.params.run));
  const result = useQuery(RUN, { run: run.name });
  const answer = result.data?.run;
  const maps = answer?.layers.slice(0, -1) ?? [];
  return html`<h1>${run.name}</h1>
    <p class="lead">${run.model} over ${run.dataset}</p>
    <div class="panels">
      <${Panel} id="summary" title="What was indexed" result=${result} rows=${() => facts(answer).map(([name, value]) => ({ name, value }))} height=${220}>${answer && html`<dl class="facts">${facts(answer).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`}<//>
      <${Panel} id="worst" title="Least accurate classes" result=${result} rows=${() => answer.worst.nodes.map((/** @type {any} */ one) => ({ index: one.index, class: one.name, images: one.imageCount, accuracy: one.accuracy }))} height=${220} empty=${answer && answer.accuracy === null && "No image has a label, so there is no accuracy."}>
        ${answer && html`<${Table} caption="the least accurate classes" rows=${answer.worst.nodes.filter((/** @type {any} */ one) => one.accuracy !== null)} columns=${classColumns(run.name)} />
          <p><a href=${href.classes(run.name, { sort: "accuracy" })}>All ${count(answer.worst.totalCount)} classes</a></p>`}
      <//>
    </div>
    <${Panel} id="layers" title="Layers" result=${result} rows=${() => maps.map(layerRow)} height=${220}>
      <${Table} caption="layers, the highest first" rows=${[...maps].reverse()} columns=${LAYERS} />
    <//>
    <${Tests} run=${run.name} labelled=${run.accuracy !== null} layers=${evidenceLayers(run).map((layer) => layer.name).reverse()} />
    <div class="panels">
      <${Panel} id="degree" title=${html`<${Term} word="degree">Discriminative degree<//> by layer`} result=${result} picture=${true} rows=${() => maps.flatMap((/** @type {any} */ layer) => layer.discriminativeDegree.histogram.map((/** @type {number} */ channels, /** @type {number} */ bin) => ({ layer: layer.name, from: bin / 10, to: (bin + 1) / 10, channels })))} height=${320} empty=${answer && !hasDegrees(maps) && NO_DEGREE}>
        <${Chart} label="Channels of each layer by discriminative degree" of=${[[run.name, maps.map((/** @type {any} */ layer) => [layer.name, layer.discriminativeDegree.histogram])]]} plot=${(/** @type {number} */ width) => degreeChart([{ name: run.name, layers: maps }], width)} />
      <//>
      <${Panel} id="profile" title=${html`How evidence falls off with rank (<${Term} word="mean share">mean share<//>)`} result=${result} picture=${true} rows=${() => (answer?.layers ?? []).slice(1).flatMap((/** @type {any} */ layer) => layer.profile.shares.map((/** @type {number} */ share, /** @type {number} */ rank) => ({ layer: layer.name, rank: rank + 1, share })))} height=${320}>
        <${Chart} label="Mean share by rank, a line for each layer that is decomposed" of=${answer?.layers.map((/** @type {any} */ layer) => [layer.name, layer.profile.shares])} plot=${() => profileChart(answer?.layers.slice(1) ?? [])} />
      <//>
    </div>
    ${answer && answer.skippedImages.totalCount > 0 && html`<${Panel} id="skipped" title=${`${count(answer.skippedImages.totalCount)} images that could not be used`} result=${result} rows=${() => answer.skippedImages.nodes}>
      <${Table} caption="images that could not be used" rows=${answer.skippedImages.nodes} columns=${[{ key: "uri", title: "Image" }, { key: "reason", title: "Why" }]} /><//>`}`;
}

/** @param {any} run @returns {[string, string][]} */
const facts = (run) => [
  ["Images", `${count(run.imageCount)}${run.skippedCount ? `, ${count(run.skippedCount)} skipped` : ""}`],
  ["Right", percent(run.accuracy)],
  ["Decisions", count(run.decisionCount)],
  ["Edges", count(run.edgeCount)],
  ["Kept of each decision", `${run.topN} channels${run.maxNodes ? `, ${run.maxNodes} nodes a layer` : ""}`],
  ["Masks above", `${percent(run.maskThreshold, 0)} of the map's largest`],
  ["Weights", `${run.weightsSha256.slice(0, 12)}…`],
  ["Indexed", `${run.createdAt.slice(0, 16).replace("T", " ")}, evigraph ${run.indexerVersion}`],
];

/** @param {string} run */
const classColumns = (run) => [
  { key: "name", title: "Class", cell: (/** @type {any} */ one) => html`<a href=${href.class(run, one.index)}>${shortName(one.name)}</a>` },
  { key: "accuracy", title: html`<${Term} word="accuracy">Right<//>`, numeric: true, cell: (/** @type {any} */ one) => html`${percent(one.accuracy)} <span class="dim">of ${count(one.imageCount)}</span>` },
];

/** @param {any} layer */
const layerRow = (layer) => ({
  layer: layer.name, module: layer.module, channels: layer.channels, height: layer.height, width: layer.width, stride: layer.stride, receptiveField: layer.receptiveField,
  meanDegree: layer.discriminativeDegree.mean, channelsWithEdges: layer.discriminativeDegree.count,
});

const LAYERS = [
  { key: "name", title: "Layer", cell: (/** @type {any} */ layer) => html`${layer.name}${layer.module !== layer.name ? html` <span class="dim">${layer.module}</span>` : ""}` },
  { key: "channels", title: "Channels", numeric: true, cell: (/** @type {any} */ layer) => html`${count(layer.channels)} <span class="dim">at ${layer.height}×${layer.width}</span>` },
  { key: "receptiveField", title: html`<${Term} word="receptive field">Receptive field<//>`, numeric: true, cell: (/** @type {any} */ layer) => (layer.receptiveField === null ? "-" : `${count(layer.receptiveField)} px`) },
  { key: "used", title: html`With a <${Term} word="degree">degree<//>`, numeric: true, cell: (/** @type {any} */ layer) => outOf(layer.discriminativeDegree.count, layer.channels, "") },
  { key: "degree", title: "Mean degree", numeric: true, cell: (/** @type {any} */ layer) => number(layer.discriminativeDegree.mean) },
  { key: "residual", title: html`<${Term} word="residual">Residual<//> below`, numeric: true, cell: (/** @type {any} */ layer) => (layer.index === 0 ? "-" : percent(layer.profile.residual, 0)) },
];
