// Two runs over the same images: what one gets right and the other does not, and how their layers differ.

import { href, setState } from "../../lib/address.js";
import { count, number, percent } from "../../lib/format.js";
import { useQuery, useRun, useRuns } from "../../lib/hooks.js";
import { shortName } from "../../lib/names.js";
import { html, Plot } from "../../lib/vendor.js";
import { Chart } from "../../components/chart.js";
import { Panel } from "../../components/panel.js";
import { Strip } from "../../components/strip.js";
import { Table } from "../../components/table.js";
import { degreeChart, hasDegrees, NO_DEGREE } from "../run/charts.js";
import { COMPARED, DEGREES } from "./queries.js";

/** @param {{address: import("../../lib/address.js").Address}} given */
export function Page({ address }) {
  const runs = useRuns();
  // Another run in the place of one that was named would be an answer to another question.
  const unknown = [address.state.a, address.state.b].find((name) => name && !runs.some((run) => run.name === name));
  if (unknown) return html`<h1>Compare</h1><p class="empty">This database has no run called ${unknown}; it has ${runs.map((run) => run.name).join(", ")}.</p>`;
  const a = useRun(address.state.a) ?? runs[0];
  const b = useRun(address.state.b) ?? runs.find((run) => run.name !== a?.name && run.dataset === a?.dataset) ?? runs.find((run) => run.name !== a?.name);
  if (!a || !b) {
    return html`<h1>Compare</h1><p class="empty">This database holds one run; publish another of the same images beside it: evigraph publish RUN_A RUN_B --db FILE. It may be of another network, of attacked images (index --attack), or of other settings.</p>`;
  }
  return html`<h1>${a.name} and ${b.name}</h1>
    <div class="tools chosen">${["a", "b"].map((which) => html`<label key=${which}>${which} <select value=${which === "a" ? a.name : b.name} onChange=${(/** @type {any} */ event) => setState({ [which]: event.target.value })}>${runs.map((run) => html`<option key=${run.name} value=${run.name}>${run.name}</option>`)}</select></label>`)}
      <button type="button" onClick=${() => setState({ a: b.name, b: a.name })} aria-label="swap the runs">⇄</button></div>
    <${Compared} a=${a.name} b=${b.name} />`;
}

/** @param {{a: string, b: string}} given */
function Compared({ a, b }) {
  const result = useQuery(COMPARED, { a, b });
  const answer = result.data?.run.compare;
  const none = answer && answer.imagesCompared === 0 && `No image is in both runs with the same label (${count(answer.matched)} uris are in both): accuracies cannot be compared image by image.`;
  const classes = answer?.byClass.nodes ?? [];
  const layers = useQuery(DEGREES, { a, b });
  const degrees = layers.data && [{ name: a, layers: maps(layers.data.a) }, { name: b, layers: maps(layers.data.b) }];
  return html`<${Panel} id="outcomes" title="Images that both runs hold" result=${result} rows=${() => [answer].map(({ byClass, lost, gained, ...counts }) => counts)} height=${120} empty=${none}>
      ${answer && html`<p><b>${count(answer.onlyOtherRight)}</b> gained and <b>${count(answer.onlyThisRight)}</b> lost from ${a} to ${b}, of ${count(answer.imagesCompared)} images; ${count(answer.bothRight)} are right in both, ${count(answer.bothWrong)} in neither. McNemar's exact test: p = ${number(answer.p)}.</p>
        ${(answer.onlyInThis > 0 || answer.onlyInOther > 0) && html`<p class="dim">Left out: ${count(answer.onlyInThis)} images that only ${a} holds, ${count(answer.onlyInOther)} that only ${b} holds.</p>`}
        <div class="sides"><${Changed} title=${`Gained by ${b}`} run=${b} list=${answer.gained} which="otherImage" /><${Changed} title=${`Lost by ${b}`} run=${b} list=${answer.lost} which="otherImage" /></div>
        ${result.data.run.weightsSha256 === result.data.other.weightsSha256 && html`<p><a href=${href.failures(a, { "a.run": b, "a.outcome": "WRONG", "b.outcome": "CORRECT", root: "LABEL" })}>What sets the wrong decisions of ${b} apart from the right ones of ${a}</a></p>`}`}
    <//>
    <div class="panels">
      <${Panel} id="accuracy" title="Accuracy by class" result=${result} rows=${() => classes.map(flat)} picture=${true} height=${320} empty=${none}>
        <${Chart} label=${`Accuracy of each class in ${a} and in ${b}`} of=${[a, b, classes]} plot=${() => dumbbells(classes, a, b)} />
        <details><summary>as a table</summary><${Table} caption="accuracy by class" rows=${classes} columns=${columns(a, b)} /></details>
        ${answer && answer.byClass.totalCount > classes.length && html`<p class="dim">The ${classes.length} of ${count(answer.byClass.totalCount)} classes that differ most.</p>`}
      <//>
      <${Panel} id="degree" title="Discriminative degree by layer" result=${layers} picture=${true} rows=${() => degrees.flatMap((/** @type {any} */ run) => run.layers.map((/** @type {any} */ layer) => ({ run: run.name, layer: layer.name, channels: layer.discriminativeDegree.count, mean: layer.discriminativeDegree.mean })))} height=${320} empty=${degrees && !degrees.some((/** @type {any} */ run) => hasDegrees(run.layers)) && NO_DEGREE}>
        ${degrees && html`<${Chart} label=${`Channels of each layer by discriminative degree, in ${a} and in ${b}`} of=${degrees} plot=${(/** @type {number} */ width) => degreeChart(degrees, width)} />`}
      <//>
    </div>`;
}

/** @param {any} run */
const maps = (run) => run.layers.slice(0, -1);

/** @param {any} row */
const flat = (row) => ({ index: row.class.index, class: row.class.name, images: row.images, onlyThis: row.onlyThis, onlyOther: row.onlyOther, accuracy: row.accuracy, otherAccuracy: row.otherAccuracy });

/** @param {{title: string, run: string, list: any, which: string}} given */
function Changed({ title, run, list, which }) {
  return html`<div><h3>${title} (${count(list.totalCount)})</h3>${list.nodes.length === 0 ? html`<p class="dim">none</p>` : html`<${Strip} says=${title} run=${run} images=${list.nodes.map((/** @type {any} */ one) => one[which])} size=${72} />`}</div>`;
}

/** @param {any[]} classes @param {string} a @param {string} b */
function dumbbells(classes, a, b) {
  const rows = classes.map((row) => ({ name: `${shortName(row.class.name)} (${row.images})`, a: row.accuracy, b: row.otherAccuracy }));
  return {
    height: 24 * rows.length + 60,
    marginLeft: 150,
    color: { domain: [a, b], range: ["#0072b2", "#d55e00"], legend: true },
    x: { domain: [0, 1], percent: true, label: "right, % of the class's images", grid: true },
    y: { domain: rows.map((row) => row.name), label: null, tickSize: 0 },
    marks: [
      Plot.link(rows, { y: "name", x1: "a", x2: "b", stroke: "#8a949e", strokeWidth: 2 }),
      Plot.dot(rows, { y: "name", x: "a", fill: () => a, r: 5, title: (/** @type {any} */ row) => `${row.name}: ${percent(row.a)} in ${a}` }),
      Plot.dot(rows, { y: "name", x: "b", fill: () => b, r: 5, title: (/** @type {any} */ row) => `${row.name}: ${percent(row.b)} in ${b}` }),
    ],
  };
}

/** @param {string} a @param {string} b */
const columns = (a, b) => [
  { key: "class", title: "Class", cell: (/** @type {any} */ row) => html`<a href=${href.class(a, row.class.index)}>${shortName(row.class.name)}</a>` },
  { key: "images", title: "Images", numeric: true },
  { key: "accuracy", title: a, numeric: true, cell: (/** @type {any} */ row) => percent(row.accuracy) },
  { key: "otherAccuracy", title: b, numeric: true, cell: (/** @type {any} */ row) => percent(row.otherAccuracy) },
];
