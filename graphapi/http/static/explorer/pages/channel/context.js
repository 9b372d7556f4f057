// The context labels that the channel's evidence lies on, against what their area explains.

import { count, cut, number, percent } from "../../lib/format.js";
import { html, Plot } from "../../lib/vendor.js";
import { More } from "../../components/bars.js";
import { Chart } from "../../components/chart.js";
import { Panel } from "../../components/panel.js";
import { Table } from "../../components/table.js";
import { Term } from "../../components/term.js";

/** @param {any} given see page.js */
export function Context({ place, always, result, evidence, forClass, unheld }) {
  const nodes = evidence?.contextLabels.nodes ?? [];
  const points = nodes.flatMap((/** @type {any} */ row) => measures(row));
  const drawn = points.filter((/** @type {any} */ point) => point.lift > 0);
  const rows = () => nodes.map((/** @type {any} */ row) => ({ label: row.label, edges: row.edges, peak_rate: row.peak?.rate, peak_lift: row.peak?.lift, peak_low: row.peak?.low, peak_high: row.peak?.high, peak_q: row.peak?.q, activation_lift: row.activation?.lift, activation_low: row.activation?.low, activation_high: row.activation?.high, iou_rate: row.rate, iou_lift: row.lift, mean_iou: row.meanIou }));
  return html`<${Panel} id="context" title=${html`Context labels${forClass}`} result=${result} rows=${rows} picture=${drawn.length > 0} height=${220}
    empty=${unheld || (evidence && always.data && nodes.length === 0 && why(always.data.run, place.layer))}>
    <p class="dim aside"><${Term} word="lift">Lift<//> of each <${Term} word="context label">context label<//>, with the interval of 95 % over images. Filled: what lies under the peaks. Open: under the activation of the whole mask.</p>
    ${drawn.length > 0 && html`<${Chart} of=${[drawn, nodes.length]} label="lift of context labels, under the peaks and under the masks; the table below has the numbers" plot=${dots(drawn, nodes.map((/** @type {any} */ row) => row.label))} />`}
    <details open=${drawn.length === 0}><summary>Table</summary><${Table} caption="context labels" rows=${nodes} name=${(/** @type {any} */ row) => row.label} columns=${COLUMNS} /></details>
    <${More} name="context" shown=${nodes.length} total=${evidence?.contextLabels.totalCount ?? 0} />
  <//>`;
}

/** Why there are no labels. @param {any} run of the answer @param {string} layer */
function why(run, layer) {
  if (run.labelled.nodes.length === 0) return "The run has no context labels: they come from a semantic map of each image. evigraph index data that have them (docs/data.md).";
  if (run.labelledHere.nodes.length === 0) return `Evidence of ${layer} has no context labels in this run: evigraph extend RUN_DIR --context-layers ${layer} adds them, and evigraph publish shows them here.`;
  return "None of these edges lies on a context label.";
}

/** The points of a label: the unbiased measures, or that by IoU where a run holds nothing else. @param {any} row */
function measures(row) {
  const held = [["under peaks", row.peak], ["under masks", row.activation]].filter(([, measure]) => measure && measure.lift !== null);
  if (held.length === 0) return row.lift === null ? [] : [{ label: row.label, of: "by IoU", lift: row.lift, low: null, high: null }];
  return held.map(([of, measure]) => ({ label: row.label, of, lift: measure.lift, low: measure.low, high: measure.high }));
}

/** @param {any[]} points @param {string[]} labels in their order */
const dots = (points, labels) => (/** @type {number} */ width) => {
  const values = points.flatMap((point) => [point.lift, point.low, point.high]).filter((value) => value > 0);
  const [least, most] = [Math.max(0.05, Math.min(0.5, ...values) / 1.15), Math.max(2, ...values) * 1.15];
  const shown = points.map((point) => ({ ...point, lift: Math.max(least, point.lift), low: point.low === null ? null : Math.max(least, point.low) }));
  const marginLeft = Math.min(160, 16 + 8 * Math.max(...labels.map((label) => label.length)));
  const first = (/** @type {any} */ point) => point.of !== "under masks";
  const side = (/** @type {boolean} */ above) => ({ y: "label", dy: above ? -4 : 4 });
  return {
    width,
    style: { background: "none", fontSize: "12px" },
    height: 46 + 30 * labels.length,
    marginLeft,
    marginRight: 16,
    marginBottom: 36,
    x: { type: "log", domain: [least, most], label: "lift (1: as its area explains)", grid: true, ticks: width < 420 ? 4 : 8, tickFormat: (/** @type {number} */ value) => number(value) },
    y: { domain: labels, label: null, tickSize: 0, tickFormat: (/** @type {string} */ label) => cut(label, 21) },
    marks: [
      Plot.ruleX([1], { stroke: "var(--text)", strokeDasharray: "3 3" }),
      ...[true, false].flatMap((above) => {
        const of = shown.filter((point) => first(point) === above);
        return [
          Plot.link(of.filter((point) => point.low !== null), { x1: "low", x2: "high", y1: "label", y2: "label", dy: above ? -4 : 4, stroke: "var(--predicted)", strokeOpacity: above ? 0.9 : 0.45, strokeWidth: 2 }),
          Plot.dot(of, { x: "lift", ...side(above), r: above ? 4.5 : 3.5, fill: above ? "var(--predicted)" : "var(--ground)", stroke: "var(--predicted)", title: (/** @type {any} */ point) => `${point.label} ${point.of}: lift ${number(point.lift)}${point.low === null ? "" : ` (${number(point.low)} to ${number(point.high)})`}` }),
        ];
      }),
    ],
  };
};

/** @param {any} measure */
const interval = (measure) => (measure?.lift === null || measure?.lift === undefined ? "-" : `${number(measure.lift)}${measure.low === null ? "" : ` (${number(measure.low)} to ${number(measure.high)})`}`);

const COLUMNS = [
  { key: "label", title: "Label" },
  { key: "peak", title: "Lift under peaks", numeric: true, cell: (/** @type {any} */ row) => interval(row.peak) },
  { key: "rate", title: "Peaks on it", numeric: true, cell: (/** @type {any} */ row) => (row.peak ? html`${percent(row.peak.rate)} <span class="dim">area ${percent(row.peak.baseRate)}</span>` : "-") },
  { key: "q", title: html`<${Term} word="q" />`, numeric: true, cell: (/** @type {any} */ row) => number(row.peak?.q) },
  { key: "activation", title: "Lift under masks", numeric: true, cell: (/** @type {any} */ row) => interval(row.activation) },
  { key: "iou", title: html`<${Term} word="by IoU">Best IoU<//>`, numeric: true, cell: (/** @type {any} */ row) => html`${count(row.edges)} edges <span class="dim">lift ${number(row.lift)}</span>` },
];
