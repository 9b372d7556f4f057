// What sets two cohorts of decisions apart: effect against q as a plot, and the rows as a table.

import { href, setState } from "../../lib/address.js";
import { count, number, percent } from "../../lib/format.js";
import { evidenceLayers, useQuery, useRuns } from "../../lib/hooks.js";
import { shortName } from "../../lib/names.js";
import { html, Plot } from "../../lib/vendor.js";
import { Chart } from "../../components/chart.js";
import { Panel, States } from "../../components/panel.js";
import { Strip } from "../../components/strip.js";
import { Table } from "../../components/table.js";
import { Term } from "../../components/term.js";
import { Cohort, cohortInput, cohorts, stated } from "./cohorts.js";
import { CONTRAST, EXAMPLES } from "./queries.js";

const ITEMS = /** @type {[string, string][]} */ ([["CHANNELS", "channels"], ["EDGES", "edges"], ["CONTEXT_LABELS", "context labels"]]);
const ROOTS = /** @type {[string, string][]} */ ([["LABEL", "the label's root"], ["PREDICTED", "the predicted class's root"], ["OWN", "each its own root"]]);
const FOUND_BELOW = 0.05;
const FIRST = 10;
const SMALLEST_Q = 1e-12; // further up all points lie on one line

/**
 * @param {object} given
 * @param {import("../../lib/hooks.js").Run} given.run @param {string} given.layer
 * @param {Record<string, string>} given.state of the page
 * @param {{index: number, name: string}[]} given.classes
 */
export function Contrast({ run, layer, state, classes }) {
  const { a, b, root } = cohorts(state);
  const of = state.of ?? "CHANNELS";
  const runs = useRuns().filter((one) => one.model === run.model).map((one) => one.name);
  const variables = { run: run.name, layer, a: cohortInput(a), b: cohortInput(b), of, root };
  const result = useQuery(CONTRAST, variables);
  const answer = result.data?.run.contrast;
  const rows = (answer?.nodes ?? []).map(named);
  const open = rows.findIndex((/** @type {any} */ row) => row.name === state.open);
  // Where the row in question follows; undefined as long as it is not there.
  const before = open < 0 ? undefined : open === 0 ? null : answer.edges[open - 1].cursor;
  const tools = html`
    <label>of <select value=${of} onChange=${(/** @type {any} */ event) => setState({ of: event.target.value, open: null })}>${ITEMS.map(([value, name]) => html`<option key=${value} value=${value}>${name}</option>`)}</select></label>
    <label>at <select value=${layer} onChange=${(/** @type {any} */ event) => setState({ layer: event.target.value, open: null })}>${evidenceLayers(run).map((one) => html`<option key=${one.name} value=${one.name}>${one.name}</option>`)}</select></label>
    <label>comparing <select value=${answer?.root ?? root ?? ""} onChange=${(/** @type {any} */ event) => setState({ root: event.target.value, open: null })}>${ROOTS.map(([value, name]) => html`<option key=${value} value=${value}>${name}</option>`)}</select></label>`;
  const swap = () => setState({ ...stated(b, a), root: answer?.root ?? root, open: null });
  return html`<${Panel} id="contrast" title="What sets two cohorts apart" tools=${tools} result=${result} rows=${() => rows.map(flat)} picture=${true} height=${420}>
    <div class="cohorts">
      <${Cohort} which="a" cohort=${a} other=${b} classes=${classes} runs=${runs} />
      <button type="button" onClick=${swap} aria-label="swap a and b">⇄</button>
      <${Cohort} which="b" cohort=${b} other=${a} classes=${classes} runs=${runs} />
    </div>
    <datalist id="classes-offered">${classes.map((one) => html`<option key=${one.index} value=${one.name}></option>`)}</datalist>
    ${answer && html`<${Verdict} answer=${answer} of=${ITEMS.find(([value]) => value === of)?.[1] ?? ""} />`}
    ${rows.length === 0 ? html`<p class="empty">No item is in two decisions of both cohorts together; take larger cohorts.</p>` : html`
      <${Chart} label="Effect against q: each point is an item, to the right more often in a, higher more surely" of=${[rows.map((/** @type {any} */ row) => [row.name, row.q, row.logOddsRatio]), state.open]}
        plot=${(/** @type {number} */ width) => volcano(rows, width, state.open)} onClick=${(/** @type {any} */ _, /** @type {any} */ row) => setState({ open: row.name })} />
      <${Table} caption="items that set a apart from b, the surest first" rows=${state.all ? rows : rows.slice(0, FIRST)} name=${(/** @type {any} */ row) => row.name} columns=${columns(run.name, state.open)} />
      ${rows.length > FIRST && html`<button type="button" class="quiet" onClick=${() => setState({ all: state.all ? null : 1 })}>${state.all ? "fewer" : `all ${rows.length}`}</button>`}`}
  <//>
  ${state.open && html`<${Examples} run=${run.name} variables=${variables} before=${before} name=${state.open} />`}`;
}

/** @param {any} row @returns {any} */
function named(row) {
  const channel = row.channel && `${row.channel.layer.name} ${row.channel.index}`;
  return { ...row, name: row.contextLabel ?? (row.target ? `${row.target.layer.name} ${row.target.index} ← ${channel}` : channel) };
}

/** @param {any} row */
const flat = ({ name, countA, rateA, countB, rateB, logOddsRatio, low, high, p, q }) => ({ name, countA, rateA, countB, rateB, logOddsRatio, low, high, p, q });

/** What was compared, and whether it may be. @param {{answer: any, of: string}} given */
function Verdict({ answer, of }) {
  /** @param {any[]} classes */
  const roots = (classes) => classes.map((one) => shortName(one.class.name)).join(", ");
  return html`<p><b>${count(answer.discoveries)}</b> of ${count(answer.totalCount)} ${of} with <${Term} word="q">q<//> ≤ ${FOUND_BELOW}, over ${count(answer.decisionsA)} decisions for ${roots(answer.rootClassesA) || "nothing"} (a) and ${count(answer.decisionsB)} for ${roots(answer.rootClassesB) || "nothing"} (b).</p>
    ${!answer.comparable && html`<p class="warned" role="note"><b>Not alike:</b> ${answer.reason}</p>`}`;
}

/** @param {any[]} rows @param {number} width @param {string | undefined} open */
function volcano(rows, width, open) {
  const shown = rows.map((row) => ({ ...row, sure: Math.max(row.q, SMALLEST_Q), found: row.q <= FOUND_BELOW }));
  return {
    height: 260,
    marginLeft: 56,
    x: { label: "← more in b   effect (log odds ratio)   more in a →", labelAnchor: "center" },
    y: { type: "log", reverse: true, label: "q", tickFormat: (/** @type {number} */ q) => (q >= 1e-3 ? String(q) : q.toExponential(0)), domain: [1.2, Math.min(0.01, ...shown.map((row) => row.sure)) / 2], ticks: 4 },
    marks: [
      Plot.ruleX([0], { stroke: "currentColor", strokeOpacity: 0.3 }),
      Plot.ruleY([FOUND_BELOW], { stroke: "currentColor", strokeDasharray: "3 3", strokeOpacity: 0.5 }),
      Plot.dot(shown, { x: "logOddsRatio", y: "sure", r: (/** @type {any} */ row) => (row.name === open ? 7 : 4), fill: (/** @type {any} */ row) => (!row.found ? "#8a949e" : row.logOddsRatio > 0 ? "#d55e00" : "#0072b2"), fillOpacity: 0.85 }),
      Plot.text(shown.filter((row) => row.found).slice(0, width > 600 ? 8 : 3), { x: "logOddsRatio", y: "sure", text: "name", dy: -10, fill: "currentColor" }),
      Plot.tip(shown, Plot.pointer({ x: "logOddsRatio", y: "sure", title: (/** @type {any} */ row) => `${row.name}\na ${percent(row.rateA)}, b ${percent(row.rateB)}\nq ${number(row.q)}`, fill: "var(--ground)" })),
    ],
  };
}

/** @param {string} run @param {string | undefined} open */
const columns = (run, open) => [
  { key: "name", title: "Item", cell: (/** @type {any} */ row) => html`${row.channel ? html`<a href=${href.channel(run, row.channel.layer.name, row.channel.index)}>${row.name}</a>` : row.name}` },
  { key: "rateA", title: "In a", numeric: true, cell: (/** @type {any} */ row) => html`${percent(row.rateA)} <span class="dim">${row.countA}</span>` },
  { key: "rateB", title: "In b", numeric: true, cell: (/** @type {any} */ row) => html`${percent(row.rateB)} <span class="dim">${row.countB}</span>` },
  { key: "effect", title: html`<${Term} word="effect">Effect (95 %)<//>`, numeric: true, cell: (/** @type {any} */ row) => html`${number(row.logOddsRatio)} <span class="dim">${number(row.low)} to ${number(row.high)}</span>` },
  { key: "q", title: html`<${Term} word="q">q<//>`, numeric: true, cell: (/** @type {any} */ row) => number(row.q) },
  { key: "open", title: html`<span class="unseen">examples</span>`, cell: (/** @type {any} */ row) => html`<button type="button" class="quiet" aria-pressed=${row.name === open} onClick=${() => setState({ open: row.name === open ? null : row.name })}>examples</button>` },
];

/**
 * Decisions of both cohorts that have the item, side by side.
 * @param {{run: string, variables: Record<string, any>, before: string | null | undefined, name: string}} given before: the cursor that the item follows
 */
function Examples({ run, variables, before, name }) {
  const result = useQuery(before === undefined ? null : EXAMPLES, { ...variables, after: before });
  const row = result.data?.run.contrast.nodes[0];
  return html`<${Panel} id="examples" title=${`Decisions with ${name}`} result=${result} height=${180}>
    ${row && html`<div class="sides">${Object.entries({ a: row.examplesA, b: row.examplesB }).map(([which, decisions]) => html`<div key=${which}><h3>${which}</h3>
      ${decisions.length === 0 ? html`<p class="dim">No decision of ${which} has it.</p>` : html`<${Strip} says="examples" run=${variables[which].run ?? run} images=${decisions.map((/** @type {any} */ one) => one.image)} state=${{ root: decisions[0].role.toLowerCase() }} />`}</div>`)}</div>`}
  <//>`;
}
