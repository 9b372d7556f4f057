// What of the tree is drawn: top N, depth, the least importance; and what cards show.

import { setState } from "../../lib/address.js";
import { html } from "../../lib/vendor.js";
import { Term } from "../../components/term.js";
import { LEAST } from "./state.js";
import { part } from "./text.js";

/**
 * @param {{run: import("../../lib/hooks.js").Run, choice: {top: number, firstTop: number, mostTop: number, depth: number, least: number}, layers: number}} given
 */
export function Controls({ run, choice, layers }) {
  const least = Math.max(0, LEAST.findIndex((value) => value >= choice.least));
  return html`<div class="controls">
    <${Slider} id="top" says="Edges of a node" shown=${`top ${choice.top} of ${run.topN}`} value=${choice.top} min=${1} max=${choice.mostTop} onChange=${(/** @type {number} */ value) => setState({ top: value === choice.firstTop ? null : value }, { replace: true })} />
    <${Slider} id="depth" says="Layers" shown=${`${choice.depth} of ${layers}`} value=${choice.depth} min=${1} max=${layers} onChange=${(/** @type {number} */ value) => setState({ depth: value === layers ? null : value }, { replace: true })} />
    <${Slider} id="least" says=${html`Least <${Term} word="importance">importance<//>`} shown=${least === 0 ? "any" : part(LEAST[least])} value=${least} min=${0} max=${LEAST.length - 1} onChange=${(/** @type {number} */ value) => setState({ least: LEAST[value] || null }, { replace: true })} />
  </div>`;
}

/** @param {{id: string, says: unknown, shown: string, value: number, min: number, max: number, onChange: (value: number) => void}} given */
function Slider({ id, says, shown, value, min, max, onChange }) {
  return html`<div class="slider"><span id=${`${id}-says`}>${says}</span>
    <input id=${id} type="range" aria-labelledby=${`${id}-says`} aria-valuetext=${shown} min=${min} max=${max} step="1" value=${value} disabled=${max === min} onInput=${(/** @type {any} */ event) => onChange(Number(event.target.value))} />
    <output for=${id}>${shown}</output></div>`;
}

/** @type {[string, string][]} */
const WAYS = [["field", "Field and map"], ["crop", "Field"], ["whole", "Whole picture"]];

/** @param {{show: string, pictures: boolean}} given */
export function Shown({ show, pictures }) {
  if (!pictures) return null;
  return html`<div role="group" aria-label="cards show" class="choices">${WAYS.map(([name, title]) => html`<button type="button" key=${name} aria-pressed=${show === name} onClick=${() => setState({ show: name === "field" ? null : name }, { replace: true })}>${title}</button>`)}</div>`;
}
