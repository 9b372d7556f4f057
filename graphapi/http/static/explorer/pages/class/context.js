// What the class's evidence lies on: context labels by lift, the unbiased measure first.

import { href, setState } from "../../lib/address.js";
import { count, number, outOf, percent } from "../../lib/format.js";
import { usePages } from "../../lib/hooks.js";
import { d3, html } from "../../lib/vendor.js";
import { Behind } from "../../components/behind.js";
import { DotMark, Dots, SecondMark } from "../../components/dots.js";
import { Panel } from "../../components/panel.js";
import { Table } from "../../components/table.js";
import { Term } from "../../components/term.js";
import { CONTEXT } from "./queries.js";

const COLUMNS = [{ title: "lift", width: 48 }, { title: "shown in", width: 72 }];
const TICKS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];
const WIDEST = [0.02, 50];

/**
 * @param {object} given
 * @param {import("../../lib/hooks.js").Run} given.run @param {number} given.index of the class
 * @param {any} given.of the class, null before it is there @param {any} given.asked variables of queries @param {import("./choices.js").Decisions} given.decisions
 * @param {Record<string, string>} given.state @param {string} given.it the class in a title
 */
export function ContextPanel({ run, index, of, asked, decisions, state, it }) {
  const { result, rows, total, more } = usePages(CONTEXT, asked, (data) => data.run.contextLabels);
  /** A label opens the channels that lie on it. @param {any} row */
  const opens = ({ label }) => ({
    to: href.class(run.name, index, { ...state, embed: undefined, label }),
    open: state.embed ? undefined : () => setState({ label: label === state.label ? null : label }),
    chosen: label === state.label,
  });
  const any = result.data?.run.any.nodes.length > 0;
  const none = result.data && total === 0 && (any && of?.[decisions.count] === 0 ? `There are no ${decisions.words} for this class.` : nothing(any, asked.layer, decisions.words));
  const measured = rows.some((row) => row.peak);
  return html`<${Panel} id="context" title=${it === "it" ? "What that evidence lies on" : `What the evidence of ${asked.layer} for ${it} lies on`} result=${result} picture height=${440} empty=${none} rows=${() => rows.map(flat)}>
    <p class="legend dim">
      ${measured && html`<span><${DotMark} tone=${decisions.tone} /> <${Term} word="lift">lift<//> at the <${Term} word="peak">peak<//> with its 95 % interval, over images</span>`}
      <span><${SecondMark} /> lift of the <${Term} word="context label">mask's label<//>, which favours regions as large as the mask</span></p>
    <${Dots} rows=${rows.map((row) => ({ ...dot(row, of?.[decisions.count], decisions.words), ...(measured ? opens(row) : {}) }))} axis=${liftAxis(rows, measured ? "lift: ● at the peak   ◆ of the mask" : "lift: ◆ of the mask")} columns=${COLUMNS} nameWidth=${150} tone=${decisions.tone} label="context labels by how much more evidence lies on them than their area explains" />
    ${more && html`<p class="more"><button type="button" onClick=${more}>${rows.length} of ${count(total)} labels shown: more</button></p>`}
    ${!measured && html`<p class="empty">The run keeps no measure that regions of any size can be compared by; indexing it again with this version adds it.</p>`}
    <${Behind}>${() => html`<${Table} caption="context labels" rows=${rows} name=${(/** @type {any} */ row) => row.label} columns=${TABLE} />`}<//>
  <//>`;
}

/** Why there are no labels. @param {boolean} any whether the run has some @param {string} layer @param {string} words */
const nothing = (any, layer, words) => (any
  ? `None of the class's ${words} has evidence at ${layer} with a context label. Where the layer got no labels, evigraph extend RUN --context-layers ${layer} adds them.`
  : "This run has no semantic maps. Index with a data set that has them (--data scenes:DIR, voc:DIR, pascal-context:DIR, ade20k:DIR or coco-stuff:DIR), and this panel says what the evidence lies on: road, sky, wheel.");

/**
 * As wide as the numbers need, around 1.
 * @param {any[]} rows with peak and lift @param {string} title @returns {import("../../components/dots.js").Axis}
 */
export function liftAxis(rows, title) {
  const values = rows.flatMap(({ peak, lift }) => [peak?.lift, peak?.low, peak?.high, lift]).filter((value) => value > 0);
  const [least, most] = [d3.min([...values, 0.5]) * 0.9, d3.max([...values, 2]) * 1.1];
  const domain = /** @type {[number, number]} */ ([Math.max(least, WIDEST[0]), Math.min(most, WIDEST[1])]);
  return { log: true, domain, ticks: TICKS.filter((tick) => tick >= domain[0] && tick <= domain[1]), line: 1, title, format: (/** @type {number} */ value) => `${value}×` };
}

/** @param {any} row @param {number | undefined} roots all decisions @param {string} words @returns {import("../../components/dots.js").Dot} */
function dot(row, roots, words) {
  const { label, peak, lift, decisions } = row;
  const unbiased = peak && `at the peak ${interval(peak)} over the ${count(peak.images)} images that show it: ${percent(peak.rate)} of the evidence, ${percent(peak.baseRate)} of the area`;
  return {
    key: label,
    name: label,
    value: peak?.lift ?? null, low: peak?.low ?? null, high: peak?.high ?? null, second: lift,
    texts: [`${number(peak ? peak.lift : lift)}×`, roots === undefined ? "" : `${count(peak ? peak.images : decisions)} of ${count(roots)}`],
    says: [label, unbiased, `by the mask ${number(lift)}× in ${outOf(row.edges, Math.round(row.edges / row.rate), "edges")}, held by ${count(decisions)} ${words}`].filter(Boolean).join("; "),
  };
}

/** "3.2× (95 % 2.1 to 4.4)". @param {any} peak */
export const interval = ({ lift, low, high }) => `${number(lift)}×${low === null ? "" : ` (95 % ${number(low)} to ${number(high)})`}`;

const TABLE = [
  { key: "label", title: "Label" },
  { key: "peak", title: "Lift at the peak", numeric: true, cell: (/** @type {any} */ row) => (row.peak ? interval(row.peak) : "-") },
  { key: "images", title: "Images with it", numeric: true, cell: (/** @type {any} */ row) => count(row.peak?.images) },
  { key: "rate", title: "Evidence", numeric: true, cell: (/** @type {any} */ row) => percent(row.peak?.rate) },
  { key: "area", title: "Area", numeric: true, cell: (/** @type {any} */ row) => percent(row.peak?.baseRate) },
  { key: "q", title: html`<${Term} word="q">q<//>`, numeric: true, cell: (/** @type {any} */ row) => number(row.peak?.q) },
  { key: "lift", title: "Lift of the mask's", numeric: true, cell: (/** @type {any} */ row) => number(row.lift) },
];

/** @param {any} row */
const flat = ({ label, edges, decisions, rate, meanIou, baseRate, presence, lift, peak }) => ({
  label, peakLift: peak?.lift, peakLow: peak?.low, peakHigh: peak?.high, peakRate: peak?.rate, peakArea: peak?.baseRate, peakImages: peak?.images, peakQ: peak?.q,
  lift, edges, decisions, rate, baseRate, presence, meanIou,
});
