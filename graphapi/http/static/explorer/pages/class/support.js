// The channels of a layer that support the class: rate with its interval, mean share, degree and where they look.

import { href, setState } from "../../lib/address.js";
import { count, number, outOf, percent } from "../../lib/format.js";
import { usePages } from "../../lib/hooks.js";
import { html } from "../../lib/vendor.js";
import { Behind } from "../../components/behind.js";
import { DotMark, Dots, SecondMark } from "../../components/dots.js";
import { Panel } from "../../components/panel.js";
import { Table } from "../../components/table.js";
import { Term } from "../../components/term.js";
import { SUPPORT } from "./queries.js";

/** Orders by their name in the address. @type {Record<string, {order: string, title: string}>} */
const ORDERS = {
  rate: { order: "DECISIONS", title: "rate" },
  share: { order: "SHARE", title: "mean share" },
  importance: { order: "IMPORTANCE", title: "importance" },
};
const AXIS = { domain: [0, 1], ticks: [0, 0.25, 0.5, 0.75, 1], format: (/** @type {number} */ value) => percent(value, 0), title: "● rate   ◆ mean share" };
const COLUMNS = [{ title: "decisions", width: 74 }, { title: "degree", width: 50 }];

/**
 * @param {object} given
 * @param {import("../../lib/hooks.js").Run} given.run @param {number} given.index of the class
 * @param {any} given.of the class, null before it is there @param {any} given.asked variables of queries @param {import("./choices.js").Decisions} given.decisions
 * @param {Record<string, string>} given.state @param {string} given.it the class in a title: by its name where the panel stands alone
 */
export function SupportPanel({ run, index, of, asked, decisions, state, it }) {
  const sort = ORDERS[state.sort] ? state.sort : "rate";
  const { result, rows, total, more } = usePages(SUPPORT, { ...asked, orderBy: ORDERS[sort].order }, (data) => data.run.channelSupport);
  const roots = rows[0]?.roots;
  const none = result.data && total === 0 && (of?.[decisions.count] === 0 ? `There are no ${decisions.words} for this class.` : `None of the class's ${decisions.words} has evidence at ${asked.layer}: what they rest on ends above it.`);
  const tools = html`<label class="dim">by <select aria-label="channels sorted by" value=${sort} onChange=${(/** @type {any} */ event) => setState({ sort: event.target.value === "rate" ? null : event.target.value })}>
    ${Object.entries(ORDERS).map(([key, { title }]) => html`<option key=${key} value=${key}>${title}</option>`)}</select></label>`;
  return html`<${Panel} id="support" title=${`Channels of ${asked.layer} that support ${it}`} result=${result} tools=${tools} picture height=${440} empty=${none} rows=${() => rows.map(flat)}>
    <p class="legend dim">
      <span><${DotMark} tone=${decisions.tone} /> <${Term} word="rate">rate<//> with its 95 % interval, of ${roots ? count(roots) : "all"} ${decisions.words}</span>
      <span><${SecondMark} /> <${Term} word="mean share">mean share<//></span>
      <span><${Term} word="degree">degree<//></span>
      ${rows.length > 0 && html`<span>pictures: where it <${Term} word="peak">peaks<//>${decisions.variables.outcome && ", whatever the outcome"}</span>`}</p>
    <${Dots} rows=${rows.map((row) => dot(run.name, index, asked.layer, row, decisions.words))} axis=${AXIS} columns=${COLUMNS} nameWidth=${56} tone=${decisions.tone} label=${`channels of ${asked.layer} by how many decisions hold them`} />
    ${more && html`<p class="more"><button type="button" onClick=${more}>${rows.length} of ${count(total)} channels shown: more</button></p>`}
    ${rows[0] && !rows[0].channel.peaks.nodes.some((/** @type {any} */ peak) => peak.cropUrl) && html`<p class="empty">The run keeps no pictures, so there are no patches: evigraph extend RUN --thumbnails 224 adds them.</p>`}
    <${Behind}>${() => html`<${Table} caption="channels that support the class" rows=${rows} name=${(/** @type {any} */ row) => row.channel.index} columns=${tableColumns(run.name, index, asked.layer)} />`}<//>
  <//>`;
}

/** @param {string} run @param {number} index @param {string} layer @param {any} row @param {string} words @returns {import("../../components/dots.js").Dot} */
function dot(run, index, layer, { channel, decisions, roots, rate, low, high, meanShare }, words) {
  const degree = channel.discriminativeDegree;
  return {
    key: String(channel.index),
    name: String(channel.index),
    to: href.channel(run, layer, channel.index, { class: index }),
    value: rate, low, high, second: meanShare,
    texts: [`${count(decisions)} of ${count(roots)}`, degree === null ? "-" : degree.toFixed(2)],
    says: `${layer} ${channel.index}: ${outOf(decisions, roots, words)} (${percent(rate)}, 95 % interval ${percent(low)} to ${percent(high)}); mean share ${percent(meanShare)}; degree ${number(degree)}`,
    patches: patches(run, layer, channel),
  };
}

/** Where the channel peaks, each a way to the image. @param {string} run @param {string} layer @param {any} channel */
export const patches = (run, layer, { index, peaks }) => peaks.nodes.filter((/** @type {any} */ peak) => peak.cropUrl).map((/** @type {any} */ peak) => ({
  path: peak.cropUrl,
  to: href.image(run, peak.image.index, { focus: `${layer}:${index}:${peak.y}:${peak.x}` }),
  says: `peak of ${layer} ${index} in ${peak.image.uri} at (${peak.y}, ${peak.x})`,
}));

/** @param {string} run @param {number} index @param {string} layer */
const tableColumns = (run, index, layer) => [
  { key: "channel", title: "Channel", cell: (/** @type {any} */ row) => html`<a href=${href.channel(run, layer, row.channel.index, { class: index })}>${row.channel.index}</a>` },
  { key: "decisions", title: "Decisions", numeric: true, cell: (/** @type {any} */ row) => `${count(row.decisions)} of ${count(row.roots)}` },
  { key: "rate", title: "Rate", numeric: true, cell: (/** @type {any} */ row) => percent(row.rate) },
  { key: "low", title: "95 %", numeric: true, cell: (/** @type {any} */ row) => `${percent(row.low)} to ${percent(row.high)}` },
  { key: "meanShare", title: "Mean share", numeric: true, cell: (/** @type {any} */ row) => percent(row.meanShare) },
  { key: "meanImportance", title: "Importance", numeric: true, cell: (/** @type {any} */ row) => number(row.meanImportance) },
  { key: "degree", title: "Degree", numeric: true, cell: (/** @type {any} */ row) => number(row.channel.discriminativeDegree) },
];

/** @param {any} row */
const flat = ({ channel, decisions, roots, rate, low, high, edges, meanShare, meanImportance }) => ({ channel: channel.index, decisions, roots, rate, low, high, edges, meanShare, meanImportance, degree: channel.discriminativeDegree });
