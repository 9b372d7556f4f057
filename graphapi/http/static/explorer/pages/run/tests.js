// Is the evidence the cause? What the network decided without it, beside the same done to what is no evidence.

import { count, number, outOf, percent } from "../../lib/format.js";
import { useQuery } from "../../lib/hooks.js";
import { html } from "../../lib/vendor.js";
import { Panel } from "../../components/panel.js";
import { Table } from "../../components/table.js";
import { Term } from "../../components/term.js";
import { tests } from "./queries.js";

/** @type {Record<string, string>} */
const FILLS = { GREY: "grey", BLUR: "blur", IMAGE: "another image" };

const NONE = "No test of the evidence is stored: evigraph extend RUN --verify wrong adds them, without indexing the run again.";
const UNLABELLED = "No image has a label, so no decision is known to be wrong.";

/** @param {{run: string, labelled: boolean, layers: string[]}} given layers by name */
export function Tests({ run, labelled, layers }) {
  const result = useQuery(tests(layers), { run });
  const rows = layers.flatMap((layer, place) => (result.data?.run[`layer${place}`] ?? []).map((/** @type {any} */ one) => ({ layer, ...one })));
  return html`<${Panel} id="tests" title="Do wrong decisions change without their evidence?" result=${result} rows=${() => rows.map(flat)} height=${160}
    empty=${result.data && rows.length === 0 && (labelled ? NONE : UNLABELLED)}>
    <${Table} caption="tests of the evidence of wrong decisions, by layer" rows=${rows} columns=${COLUMNS} />
  <//>`;
}

/** @param {any} row */
const flat = ({ control, ...row }) => ({ ...row, controlTested: control?.tested, controlCorrected: control?.corrected, controlMeanLogitChange: control?.meanLogitChange, p: control?.p });

const COLUMNS = [
  { key: "layer", title: "Layer" },
  { key: "method", title: "By", cell: (/** @type {any} */ row) => row.method === "REMOVE" ? html`<${Term} word="removing it">removing it<//>` : html`<${Term} word="hiding it">hiding it<//>${row.fill ? ` (${FILLS[row.fill]})` : ""}` },
  { key: "corrected", title: "Became right", numeric: true, cell: (/** @type {any} */ row) => row.tested ? html`${percent(row.correctedRate, 0)} <span class="dim">${outOf(row.corrected, row.tested, "")}</span>` : "-" },
  { key: "control", title: html`<${Term} word="control">Control<//>`, numeric: true, cell: (/** @type {any} */ row) => row.control ? html`${percent(row.control.correctedRate, 0)} <span class="dim">${outOf(row.control.corrected, row.control.tested, "")}</span>` : "-" },
  { key: "p", title: "p", numeric: true, cell: (/** @type {any} */ row) => number(row.control?.p) },
  { key: "change", title: "Mean change of the logit", numeric: true, cell: (/** @type {any} */ row) => row.tested ? html`${number(row.meanLogitChange)} <span class="dim">control ${number(row.control?.meanLogitChange)}</span>` : "-" },
  { key: "left", title: "Left out", numeric: true, cell: (/** @type {any} */ row) => row.tooLarge ? html`<span title="they hid more than half of the image">${count(row.tooLarge)}</span>` : "0" },
];
