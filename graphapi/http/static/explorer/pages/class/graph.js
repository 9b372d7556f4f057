// The evidence graph of the class: what its decisions have in common, from the class down to the lowest layer.

import { setState } from "../../lib/address.js";
import { count, percent } from "../../lib/format.js";
import { useQuery, useSettled } from "../../lib/hooks.js";
import { html, useState } from "../../lib/vendor.js";
import { Behind } from "../../components/behind.js";
import { Panel } from "../../components/panel.js";
import { Table } from "../../components/table.js";
import { Term } from "../../components/term.js";
import { Drawing, thickness } from "./drawing.js";
import { Paths } from "./paths.js";
import { GRAPH } from "./queries.js";

const DEFAULTS = { rate: 0.1, nodes: 10 };
const MOST_NODES = 30;
/** Shares that the legend shows. */
const WIDTHS = [0.05, 0.25, 0.5];

/** @typedef {{edges: Set<number>, nodes: Set<number>, says: string} | null} Lit what is highlighted, by index */

/**
 * @param {object} given
 * @param {import("../../lib/hooks.js").Run} given.run @param {number} given.index of the class
 * @param {any} given.asked variables of queries @param {import("./choices.js").Decisions} given.decisions
 * @param {Record<string, string>} given.state @param {string} given.it the class in a title
 */
export function GraphPanel({ run, index, asked, decisions, state, it }) {
  const least = bounded(state.rate, 0, 1, DEFAULTS.rate);
  const nodes = Math.round(bounded(state.nodes, 1, MOST_NODES, DEFAULTS.nodes));
  const [minRate, wanted] = useSettled(`${least} ${nodes}`).split(" ").map(Number);
  const result = useQuery(GRAPH, { run: run.name, class: asked.class, role: asked.role, outcome: asked.outcome, minRate, nodes: wanted });
  const [lit, setLit] = useState(/** @type {Lit} */ (null));
  const graph = result.data?.run.evidenceGraph;
  const none = graph && graph.decisions === 0 ? `There are no ${decisions.words} for this class, so there is no evidence to draw.` : graph && graph.edges.length === 0 && `No edge is held by ${percent(least, 0)} of the ${count(graph.decisions)} ${decisions.words}: lower the threshold.`;
  const tools = html`
    <label class="slider">held by at least <output>${percent(least, 0)}</output> <input type="range" min="0" max="1" step="0.05" value=${least} aria-label="least part of the decisions that hold a channel or edge"
      onInput=${(/** @type {any} */ event) => setState({ rate: event.target.value }, { replace: true })} /></label>
    <label class="slider">at most <output>${nodes}</output> a layer <input type="range" min="1" max=${MOST_NODES} step="1" value=${nodes} aria-label="most channels of each layer"
      onInput=${(/** @type {any} */ event) => setState({ nodes: event.target.value }, { replace: true })} /></label>`;
  return html`<${Panel} id="graph" title=${it === "it" ? "Evidence graph" : `Evidence graph of ${it}`} result=${result} tools=${tools} picture height=${520} empty=${none} rows=${() => rows(graph)}>
    ${graph && html`
      <p class="legend dim"><span><${Term} word="edge">Edges<//> by <${Term} word="share">share<//>: ${WIDTHS.map((share) => html`<svg key=${share} class="width" width="24" height="12" aria-hidden="true"><line x2="24" y1="6" y2="6" stroke-width=${thickness(share)} /></svg> ${percent(share, 0)} `)}</span>
        <span>circles by <${Term} word="throughflow">throughflow<//>, of ${count(graph.decisions)} ${decisions.words}.${graph.truncated && " Some layers have more channels of that rate than are shown."}</span>
        <span class="pointed" aria-live="polite">${lit?.says || "Point at a channel to see what flows through it; a click opens it."}</span></p>
      <${Drawing} run=${run.name} index=${index} graph=${graph} lit=${lit} onLight=${setLit} tone=${decisions.tone} />
      <${Paths} run=${run.name} index=${index} graph=${graph} onLight=${setLit} />
      <${Behind}>${() => html`<${Table} caption="edges of the graph" rows=${rows(graph)} columns=${COLUMNS} />`}<//>`}
  <//>`;
}

/** @param {string | undefined} text @param {number} least @param {number} most @param {number} otherwise */
function bounded(text, least, most, otherwise) {
  const value = Number(text);
  return text === undefined || Number.isNaN(value) ? otherwise : Math.min(most, Math.max(least, value));
}

const COLUMNS = [
  { key: "target", title: "Explained", cell: (/** @type {any} */ row) => `${row.target} ${row.targetChannel}` },
  { key: "source", title: "By", cell: (/** @type {any} */ row) => `${row.source} ${row.sourceChannel}` },
  { key: "share", title: "Share", numeric: true, cell: (/** @type {any} */ row) => percent(row.share) },
  { key: "decisions", title: "Decisions", numeric: true, cell: (/** @type {any} */ row) => `${count(row.decisions)} of ${count(row.of)}` },
];

/** @param {any} graph */
const rows = ({ nodes, edges, decisions }) => edges.map((/** @type {any} */ edge) => ({
  target: nodes[edge.target].layer, targetChannel: nodes[edge.target].channel, source: nodes[edge.source].layer, sourceChannel: nodes[edge.source].channel,
  share: edge.share, decisions: edge.decisions, of: decisions,
}));
