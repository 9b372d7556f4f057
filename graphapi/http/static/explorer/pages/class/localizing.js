// The channels of the layer whose evidence for the class lies on one context label.

import { href, setState } from "../../lib/address.js";
import { count, number, outOf, percent } from "../../lib/format.js";
import { useQuery } from "../../lib/hooks.js";
import { html } from "../../lib/vendor.js";
import { Behind } from "../../components/behind.js";
import { Dots } from "../../components/dots.js";
import { Panel } from "../../components/panel.js";
import { Table } from "../../components/table.js";
import { interval, liftAxis } from "./context.js";
import { LOCALIZING } from "./queries.js";
import { patches } from "./support.js";

const COLUMNS = [{ title: "lift", width: 48 }, { title: "edges", width: 44 }];

/** @param {any} given as of ContextPanel */
export function LocalizingPanel({ run, index, asked, decisions, state }) {
  const { label } = state;
  const result = useQuery(LOCALIZING, { ...asked, label });
  const found = result.data?.run.channelsLocalizing;
  const rows = found?.nodes ?? [];
  const none = found && rows.length === 0 && `No channel of ${asked.layer} has ${found.minEdges} edges of this class in images that show ${label}.`;
  return html`<${Panel} id="localizing" title=${`Channels of ${asked.layer} by lift on ${label}`} result=${result} picture height=${300} empty=${none} rows=${() => rows.map(flat)}
    tools=${html`<button type="button" class="quiet" onClick=${() => setState({ label: null })}>Close</button>`}>
    <${Dots} rows=${rows.map((/** @type {any} */ row) => dot(run.name, index, asked.layer, label, row))} axis=${liftAxis(rows, "lift at the peak, with its 95 % interval")} columns=${COLUMNS} nameWidth=${56} tone=${decisions.tone} label=${`channels of ${asked.layer} by lift on ${label}`} />
    ${found && rows.length < found.totalCount && html`<p class="dim">The surest ${rows.length} of ${count(found.totalCount)} channels; of any outcome.</p>`}
    <${Behind}>${() => html`<${Table} caption=${`channels by lift on ${label}`} rows=${rows.map(flat)} columns=${TABLE} />`}<//>
  <//>`;
}

/** @param {string} run @param {number} index @param {string} layer @param {string} label @param {any} row @returns {import("../../components/dots.js").Dot} */
const dot = (run, index, layer, label, { channel, edges, decisions, peak }) => ({
  key: String(channel.index),
  name: String(channel.index),
  to: href.channel(run, layer, channel.index, { class: index }),
  value: peak.lift, low: peak.low, high: peak.high,
  texts: [`${number(peak.lift)}×`, count(edges)],
  says: `${layer} ${channel.index} on ${label}: ${interval(peak)}; ${percent(peak.rate)} of its evidence, ${percent(peak.baseRate)} of the area; ${outOf(peak.images, decisions, "decisions")} show the label; ${count(edges)} edges`,
  patches: patches(run, layer, channel),
});

const TABLE = [
  { key: "channel", title: "Channel" },
  { key: "lift", title: "Lift", numeric: true, cell: (/** @type {any} */ row) => interval(row) },
  { key: "rate", title: "Evidence", numeric: true, cell: (/** @type {any} */ row) => percent(row.rate) },
  { key: "area", title: "Area", numeric: true, cell: (/** @type {any} */ row) => percent(row.area) },
  { key: "edges", title: "Edges", numeric: true },
];

/** @param {any} row */
const flat = ({ channel, edges, decisions, peak }) => ({ channel: channel.index, lift: peak.lift, low: peak.low, high: peak.high, rate: peak.rate, area: peak.baseRate, images: peak.images, edges, decisions });
