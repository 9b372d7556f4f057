// Two cohorts of decisions, as the address has them, and the form that changes them.

import { setState } from "../../lib/address.js";
import { className } from "../../lib/names.js";
import { html } from "../../lib/vendor.js";

/** @typedef {Record<string, string>} State */

const FIELDS = /** @type {const} */ (["label", "predicted", "outcome", "tag", "run"]);

/**
 * What an address compares. Left out, the cell's images are compared with the right ones of the same label.
 * @param {State} state
 * @returns {{a: Record<string, string>, b: Record<string, string>, root: string | null}}
 */
export function cohorts(state) {
  const named = FIELDS.some((field) => state[`a.${field}`] || state[`b.${field}`]);
  if (!named) {
    const a = { ...(state.label && { label: state.label }), ...(state.predicted && { predicted: state.predicted }), outcome: "WRONG" };
    const b = { ...(state.label ? { label: state.label } : state.predicted && { predicted: state.predicted }), outcome: "CORRECT" };
    return { a, b, root: state.root ?? (state.label ? "LABEL" : "PREDICTED") };
  }
  return { a: side(state, "a"), b: side(state, "b"), root: state.root ?? null };
}

/** @param {State} state @param {string} which @returns {Record<string, string>} */
function side(state, which) {
  /** @type {Record<string, string>} */
  const given = {};
  for (const field of FIELDS) {
    const value = state[`${which}.${field}`];
    if (value) given[field] = value;
  }
  return given;
}

/** A cohort as GraphQL takes it. @param {Record<string, string>} cohort */
export function cohortInput(cohort) {
  const input = { ...cohort };
  for (const field of ["label", "predicted"]) if (input[field]) input[field] = className(input[field]);
  return input;
}

/** The names that a page's state has of both cohorts. @param {Record<string, string>} a @param {Record<string, string>} b */
export function stated(a, b) {
  /** @type {Record<string, string | null>} */
  const state = {};
  for (const field of FIELDS) {
    state[`a.${field}`] = a[field] ?? null;
    state[`b.${field}`] = b[field] ?? null;
  }
  return state;
}

/**
 * The builder of one cohort.
 * @param {object} given
 * @param {"a" | "b"} given.which @param {Record<string, string>} given.cohort @param {Record<string, string>} given.other
 * @param {{index: number, name: string}[]} given.classes that are offered
 * @param {string[]} given.runs of the same weights
 */
export function Cohort({ which, cohort, other, classes, runs }) {
  /** @param {string} field @param {string} value */
  const change = (field, value) => {
    const mine = { ...cohort, [field]: value };
    if (!value) delete mine[field];
    setState({ ...(which === "a" ? stated(mine, other) : stated(other, mine)), open: null });
  };
  const shown = (/** @type {string | undefined} */ text) => classes.find((one) => String(one.index) === text)?.name ?? text ?? "";
  /** @param {string} text */
  const chosen = (text) => {
    const one = classes.filter(({ name }) => name === text.trim());
    return one.length === 1 ? String(one[0].index) : text.trim();
  };
  return html`<fieldset class=${`cohort cohort-${which}`}><legend>Cohort ${which}</legend>
    ${["label", "predicted"].map((field) => html`<label key=${field}>${field}
      <input list="classes-offered" value=${shown(cohort[field])} placeholder="any" onChange=${(/** @type {any} */ event) => change(field, chosen(event.target.value))} /></label>`)}
    <label>outcome <select value=${cohort.outcome ?? ""} onChange=${(/** @type {any} */ event) => change("outcome", event.target.value)}>
      <option value="">any</option><option value="CORRECT">right</option><option value="WRONG">wrong</option></select></label>
    <label>tag <input value=${cohort.tag ?? ""} placeholder="any" onChange=${(/** @type {any} */ event) => change("tag", event.target.value.trim())} /></label>
    ${runs.length > 1 && html`<label>run <select value=${cohort.run ?? ""} onChange=${(/** @type {any} */ event) => change("run", event.target.value)}>
      <option value="">this one</option>${runs.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>`}
  </fieldset>`;
}
