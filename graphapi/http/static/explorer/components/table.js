// A table of rows, with a heading that sorts where the page says so. Long ones draw only what is in sight.

import { html, useEffect, useRef, useState } from "../lib/vendor.js";

/**
 * @typedef {object} Column
 * @property {string} key of the row, and of sorting @property {unknown} title
 * @property {(row: any) => unknown} [cell] the row's value by default
 * @property {boolean} [numeric] to the right, in tabular figures
 * @property {"ascending" | "descending" | null} [sorts] the direction that the page sorts it in; null where it cannot
 */

const ROW_PX = 32;
const VIRTUAL_FROM = 200;
const BESIDE = 20;
const ARROWS = { ascending: "↑", descending: "↓" };

/**
 * @param {object} given
 * @param {Column[]} given.columns @param {any[]} given.rows
 * @param {string} given.caption what the rows are, for those who hear it
 * @param {(row: any, place: number) => string} [given.name] a key of a row
 * @param {string} [given.sorted] key of the column it is sorted by
 * @param {(key: string) => void} [given.onSort]
 * @param {() => void} [given.onEnd] called near the end of the rows: there are more, and they come in a box of their own
 * @param {number} [given.total] rows with those that are not here yet
 */
export function Table({ columns, rows, caption, name = (_, place) => String(place), sorted, onSort, onEnd, total = rows.length }) {
  const virtual = total > VIRTUAL_FROM || Boolean(onEnd);
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const [first, setFirst] = useState(0);
  useEffect(() => {
    if (box.current) box.current.scrollTop = 0;
    setFirst(0);
  }, [rows[0]]); // rows that are added leave the place as it is
  const from = virtual ? Math.max(0, first - BESIDE) : 0;
  const shown = virtual ? rows.slice(from, first + BESIDE * 3) : rows;
  const below = rows.length - from - shown.length;
  const scrolled = () => {
    if (!box.current) return;
    const { scrollTop, clientHeight, scrollHeight } = box.current;
    setFirst(Math.floor(scrollTop / ROW_PX));
    if (onEnd && scrollTop + clientHeight > scrollHeight - BESIDE * ROW_PX) onEnd();
  };
  return html`<div class=${virtual ? "table virtual" : "table"} ref=${box} onScroll=${virtual ? scrolled : undefined} tabindex="0" role="region" aria-label=${caption}>
    <table aria-rowcount=${total}>
      <caption class="unseen">${caption}</caption>
      <thead><tr>${columns.map(({ key, title, numeric, sorts = "descending" }) => html`<th scope="col" key=${key} class=${numeric ? "numeric" : ""} aria-sort=${sorts && sorted === key ? sorts : undefined}>
        ${onSort && sorts ? html`<button type="button" class="sort" onClick=${() => onSort(key)}>${title}${sorted === key ? ` ${ARROWS[sorts]}` : ""}</button>` : title}</th>`)}</tr></thead>
      <tbody>
        ${from > 0 && html`<tr class="space" aria-hidden="true"><td colspan=${columns.length} style=${{ height: `${from * ROW_PX}px` }}></td></tr>`}
        ${shown.map((row, place) => html`<tr key=${name(row, from + place)}>${columns.map(({ key, cell, numeric }) => html`<td key=${key} class=${numeric ? "numeric" : ""}>${cell ? cell(row) : row[key]}</td>`)}</tr>`)}
        ${below > 0 && html`<tr class="space" aria-hidden="true"><td colspan=${columns.length} style=${{ height: `${below * ROW_PX}px` }}></td></tr>`}
      </tbody>
    </table>
  </div>`;
}
