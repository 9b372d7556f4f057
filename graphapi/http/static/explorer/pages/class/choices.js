// Which decisions count, and of which layer the channels are.

import { setState } from "../../lib/address.js";
import { count } from "../../lib/format.js";
import { evidenceLayers } from "../../lib/hooks.js";
import { html } from "../../lib/vendor.js";
import { Term } from "../../components/term.js";

/**
 * @typedef {object} Decisions
 * @property {string} key @property {string} title @property {string} says
 * @property {string} words what they are, in a sentence
 * @property {{role: string | null, outcome: string | null}} state of the page
 * @property {{role: string, outcome: string | null}} variables of a query
 * @property {string} tone the colour of the root
 * @property {string} count the field of the class that counts them
 */

/** @type {Decisions[]} */
const DECISIONS = [
  { key: "all", title: "Predicted", says: "All decisions in which the network predicted this class.", words: "decisions", state: { role: null, outcome: null }, variables: { role: "PREDICTED", outcome: null }, tone: "predicted", count: "predicted" },
  { key: "correct", title: "Right", says: "Predictions of this class that are the label.", words: "right decisions", state: { role: null, outcome: "correct" }, variables: { role: "PREDICTED", outcome: "CORRECT" }, tone: "predicted", count: "correct" },
  { key: "wrong", title: "Wrong", says: "Predictions of this class for images of another.", words: "wrong decisions", state: { role: null, outcome: "wrong" }, variables: { role: "PREDICTED", outcome: "WRONG" }, tone: "predicted", count: "wrong" },
  { key: "missed", title: "Missed", says: "The evidence for this class in its images that were predicted as another.", words: "missed images", state: { role: "label", outcome: null }, variables: { role: "LABEL", outcome: null }, tone: "label", count: "missed" },
];
const BUTTONS = 8;

/** The decisions of the page's state. @param {Record<string, string>} state @returns {Decisions} */
export const chosenDecisions = ({ role, outcome }) => DECISIONS.find(({ state }) => (role === "label" ? state.role === "label" : (state.outcome ?? "") === (outcome ?? "") && state.role === null)) ?? DECISIONS[0];

/**
 * @param {object} given
 * @param {import("../../lib/hooks.js").Run} given.run @param {any} given.of the class, null before it is there
 * @param {string} given.layer @param {Decisions} given.decisions
 */
export function Choices({ run, of, layer, decisions }) {
  const layers = evidenceLayers(run);
  /** @param {string} name */
  const choose = (name) => setState({ layer: name });
  return html`<div class="choices">
    <div class="choice" role="group" aria-label="which decisions"><span class="dim"><${Term} word="decision">Decisions<//></span>
      ${DECISIONS.map((one) => html`<button type="button" key=${one.key} title=${one.says} aria-pressed=${one === decisions} disabled=${of && of[one.count] === 0 && one !== decisions} onClick=${() => setState(one.state)}>${one.title}${of && html` <span class="dim">${count(of[one.count])}</span>`}</button>`)}</div>
    <div class="choice" role="group" aria-label="layer"><span class="dim">Layer</span>
      ${layers.length > BUTTONS
        ? html`<select aria-label="layer" value=${layer} onChange=${(/** @type {any} */ event) => choose(event.target.value)}>${layers.map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}</select>`
        : layers.map(({ name, channels }) => html`<button type="button" key=${name} title=${`${count(channels)} channels`} aria-pressed=${name === layer} onClick=${() => choose(name)}>${name}</button>`)}</div>
  </div>`;
}
