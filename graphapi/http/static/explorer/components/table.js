// A table of rows, with a heading that sorts where the page says so. Long ones draw only what is in sight.

import { html, useEffect, useRef, useState } from "../lib/vendor.js";

/**
 * @typedef {object} Column
 * @property {string} key of the row, and of sorting @property {unknown} title
 * @property {(row: any) => unknown} [cell] the row's value by default
 * @property {boolean} [numeric] to the right, in tabular figures
 */

const ROW_PX = 32;
const VIRTUAL_FROM = 200;
const BESIDE = 20;

/**
 * @param {object} given
 * @param {Column[]} given.columns @param {any[]} given.rows
 * @param {string} given.caption what the rows are, for those who hear it
 * @param {(row: any, place: number) => string} [given.name] a key of a row
 * @param {string} [given.sorted] key of the column it is sorted by
 * @param {(key: string) => void} [given.onSort]
 */
export function Table({ columns, rows, caption, name = (_, place) => String(place), sorted, onSort }) {
  const virtual = rows.length > VIRTUAL_FROM;
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const [first, setFirst] = useState(0);
  useEffect(() => {
    if (box.current) box.current.scrollTop = 0;
    setFirst(0);
  }, [rows]);
  const from = virtual ? Math.max(0, first - BESIDE) : 0;
  const shown = virtual ? rows.slice(from, first + BESIDE * 3) : rows;
  const below = rows.length - from - shown.length;
  const scrolled = () => box.current && setFirst(Math.floor(box.current.scrollTop / ROW_PX));
  return html`<div class=${virtual ? "table virtual" : "table"} ref=${box} onScroll=${virtual ? scrolled : undefined} tabindex="0" role="region" aria-label=${caption}>
    <table aria-rowcount=${rows.length}>
      <caption class="unseen">${caption}</caption>
      <thead><tr>${columns.map(({ key, title, numeric }) => html`<th scope="col" key=${key} class=${numeric ? "numeric" : ""} aria-sort=${sorted === key ? "descending" : undefined}>
        ${onSort ? html`<button type="button" class="sort" onClick=${() => onSort(key)}>${title}${sorted === key ? " ↓" : ""}</button>` : title}</th>`)}</tr></thead>
      <tbody>
        ${from > 0 && html`<tr class="space" aria-hidden="true"><td colspan=${columns.length} style=${{ height: `${from * ROW_PX}px` }}></td></tr>`}
        ${shown.map((row, place) => html`<tr key=${name(row, from + place)}>${columns.map(({ key, cell, numeric }) => html`<td key=${key} class=${numeric ? "numeric" : ""}>${cell ? cell(row) : row[key]}</td>`)}</tr>`)}
        ${below > 0 && html`<tr class="space" aria-hidden="true"><td colspan=${columns.length} style=${{ height: `${below * ROW_PX}px` }}></td></tr>`}
      </tbody>
    </table>
  </div>`;
}
