// What the network decided without a node: removed or hidden, beside the same done to what is no evidence.

import { html } from "../../lib/vendor.js";
import { Term } from "../../components/term.js";
import { part, signed } from "./text.js";

/** @typedef {import("./tree.js").Edge} Edge */
const FILLS = /** @type {Record<string, string>} */ ({ GREY: "by grey", BLUR: "by a blur", IMAGE: "by another image" });
/** Of the picture: a test that hides more says nothing of the place. */
const TOO_LARGE = 0.5;

/** @param {{edges: Edge[], label: {name: string} | null, name: (edge: Edge) => string}} given */
export function Tested({ edges, label, name }) {
  const tested = edges.find((edge) => edge.verification.length > 0);
  if (!tested) return html`<h3>Without it</h3><p class="dim">This edge was not tested: <code>--verify</code> tests the strongest of each decision.</p>`;
  const tests = [...tested.verification].sort((a, b) => (a.method < b.method ? 1 : a.method > b.method ? -1 : (a.fill ?? "") < (b.fill ?? "") ? -1 : 1));
  const large = tests.some((/** @type {any} */ test) => test.area > TOO_LARGE);
  return html`<h3>Without it</h3>
    <table class="tested"><caption class="unseen">decisions without the evidence for ${name(tested)}: change of the logit, that of the control, and what was decided</caption>
      <thead><tr><th scope="col">done</th><th scope="col" class="numeric">logit</th><th scope="col" class="numeric"><${Term} word="control">control<//></th><th scope="col">decided</th></tr></thead>
      <tbody>${tests.map((/** @type {any} */ test, /** @type {number} */ at) => html`<tr key=${at}>
        <th scope="row">${test.method === "REMOVE" ? html`<${Term} word="removing it">removed<//>` : html`<${Term} word="hiding it">hidden<//> ${FILLS[test.fill] ?? ""}`}${test.area !== null && html`<br /><span class=${test.area > TOO_LARGE ? "warned" : "dim"}>${part(test.area)} of the image</span>`}</th>
        <td class="numeric">${signed(test.logitChange)}</td><td class="numeric">${test.control ? signed(test.control.logitChange) : html`<span class="dim">none fit</span>`}</td>
        <td><${Decided} test=${test} label=${label} />${test.control?.corrected && html`<br /><span class="dim">control: ${test.control.predicted.name}</span>`}</td></tr>`)}</tbody></table>
    ${large && html`<p class="dim">A test that hides more than half of the picture says little of the place.</p>`}`;
}

/** @param {{test: any, label: {name: string} | null}} given */
const Decided = ({ test, label }) => html`<span class=${test.corrected ? "verdict right" : ""}>${test.predicted.name}${test.corrected && label ? " (right)" : ""}</span>`;
