// Whether wrong decisions were corrected without the channel, beside the same done to what is no evidence.

import { number, percent } from "../../lib/format.js";
import { wilson } from "../../lib/proportion.js";
import { html, Plot } from "../../lib/vendor.js";
import { Chart } from "../../components/chart.js";
import { Panel } from "../../components/panel.js";
import { Table } from "../../components/table.js";
import { Term } from "../../components/term.js";

/** @param {any} given see page.js */
export function Verification({ always, result, evidence, forClass, unheld }) {
  const tests = (evidence?.verification ?? []).map((/** @type {any} */ test) => ({ ...test, name: named(test) }));
  const rows = () => tests.map((/** @type {any} */ test) => ({ method: test.method, fill: test.fill, tested: test.tested, corrected: test.corrected, too_large: test.tooLarge, control_tested: test.control?.tested, control_corrected: test.control?.corrected, only_evidence: test.control?.onlyEvidence, only_control: test.control?.onlyControl, p: test.control?.p }));
  const left = tests.filter((/** @type {any} */ test) => test.tooLarge > 0);
  const drawn = tests.flatMap((/** @type {any} */ test) => proportions(test));
  return html`<${Panel} id="verification" title=${html`Wrong decisions without it${forClass}`} result=${result} rows=${rows} picture=${drawn.length > 0} height=${160}
    empty=${unheld || (evidence && always.data && tests.length === 0 && why(always.data.run.tested.length > 0, forClass))}>
    <p class="dim aside">Wrong predictions that became right: by <${Term} word="removing it" /> or by <${Term} word="hiding it" />, and by the <${Term} word="control" />, each with Wilson's interval of 95 %. p: <${Term} word="McNemar">McNemar's exact test<//> over the pairs.</p>
    ${drawn.length > 0 && html`<${Chart} of=${drawn} label="wrong predictions corrected without the channel and by the control; the table below has the numbers" plot=${pairs(drawn, [...new Set(drawn.map((/** @type {any} */ one) => one.name))])} />`}
    <${Table} caption="tests by method and fill" rows=${tests} name=${(/** @type {any} */ test) => test.name} columns=${COLUMNS} />
    ${left.length > 0 && html`<p class="dim aside">Left out, since they hid more than half of the image: ${left.map((/** @type {any} */ test) => `${test.tooLarge} ${test.tooLarge === 1 ? "decision" : "decisions"} of ${test.name}`).join(", ")}. Hiding most of an image says nothing of the place.</p>`}
  <//>`;
}

/** Why there are no tests. @param {boolean} tested whether the run tested others of the layer @param {string} forClass */
const why = (tested, forClass) => (tested
  ? `No wrong decision${forClass} was tested without this channel: the run tests the strongest channels of each decision (--verify-top), and this was none of them.`
  : "The run tested nothing of this layer: evigraph extend RUN_DIR --verify wrong --verify-top 3 tests the three strongest channels of each layer in every wrong decision, each beside a control.");

/** @param {any} test */
const named = (test) => (test.method === "REMOVE" ? "removed" : `hidden${test.fill ? `, ${test.fill.toLowerCase()}` : ""}`);

/** The two proportions of a test, those without decisions left out. @param {any} test */
function proportions(test) {
  const both = [{ of: "evidence", part: test.corrected, whole: test.tested }, { of: "control", part: test.control?.corrected, whole: test.control?.tested ?? 0 }];
  return both.filter((one) => one.whole > 0).map((one) => {
    const [low, high] = wilson(one.part, one.whole);
    return { ...one, name: test.name, rate: one.part / one.whole, low, high };
  });
}

/** @param {any[]} drawn @param {string[]} names in their order */
const pairs = (drawn, names) => (/** @type {number} */ width) => ({
  width,
  style: { background: "none", fontSize: "12px" },
  height: 52 + 38 * names.length,
  marginLeft: 96,
  marginRight: width < 500 ? 24 : 140,
  marginBottom: 36,
  x: { domain: [0, Math.min(1, Math.max(0.1, ...drawn.map((one) => one.high)) * 1.05)], label: "corrected, of those tested", grid: true, ticks: 5, tickFormat: (/** @type {number} */ value) => percent(value, 0) },
  y: { domain: names, label: null, tickSize: 0 },
  marks: [true, false].flatMap((evidence) => {
    const of = drawn.filter((one) => (one.of === "evidence") === evidence);
    const colour = evidence ? "var(--predicted)" : "var(--neutral)";
    const dy = evidence ? -7 : 7;
    return [
      Plot.link(of, { x1: "low", x2: "high", y1: "name", y2: "name", dy, stroke: colour, strokeWidth: 2 }),
      Plot.dot(of, { x: "rate", y: "name", dy, r: 4.5, fill: colour, stroke: colour, title: (/** @type {any} */ one) => `${one.name}, ${one.of}: ${one.part} of ${one.whole}` }),
      ...(width < 500 ? [] : [Plot.text(of, { x: "high", y: "name", dy, dx: 8, textAnchor: "start", fill: "var(--text)", text: (/** @type {any} */ one) => `${one.of} ${one.part} of ${one.whole}` })]),
    ];
  }),
});

const COLUMNS = [
  { key: "name", title: "Channel" },
  { key: "corrected", title: "Corrected", numeric: true, cell: (/** @type {any} */ test) => html`${test.corrected} of ${test.tested} <span class="dim">${percent(test.correctedRate, 0)}</span>` },
  { key: "control", title: html`<${Term} word="control">Control<//>`, numeric: true, cell: (/** @type {any} */ test) => (test.control ? html`${test.control.corrected} of ${test.control.tested} <span class="dim">${percent(test.control.correctedRate, 0)}</span>` : "none") },
  { key: "only", title: "Only one of the pair", numeric: true, cell: (/** @type {any} */ test) => (test.control ? `${test.control.onlyEvidence} : ${test.control.onlyControl}` : "-") },
  { key: "p", title: html`<${Term} word="McNemar">p<//>`, numeric: true, cell: (/** @type {any} */ test) => (test.control ? number(test.control.p) : "-") },
  { key: "tooLarge", title: "Left out", numeric: true },
];
