// Rows with a name, a dot with its interval on a common axis, a second quiet mark, and what the numbers are of.

import { media } from "./picture.js";
import { cut } from "../lib/format.js";
import { useWidth } from "../lib/hooks.js";
import { d3, html } from "../lib/vendor.js";

/**
 * @typedef {object} Dot
 * @property {string} key @property {string} name @property {string} [to] address of the name
 * @property {() => void} [open] what a plain click on the name does instead of going there @property {boolean} [chosen]
 * @property {number | null} value the dot; null: not measured @property {number | null} [low] @property {number | null} [high] of its interval
 * @property {number | null} [second] the quiet mark
 * @property {string[]} texts of the columns on the right
 * @property {string} says all of it in a sentence, on hover
 * @property {{path: string, to: string, says: string}[]} [patches] small pictures
 */

/**
 * @typedef {object} Axis
 * @property {boolean} [log] @property {[number, number]} domain what is beyond is drawn at the end
 * @property {number[]} ticks @property {(value: number) => string} format
 * @property {string} title @property {number} [line] a value that is marked through all rows
 */

const AXIS_PX = 34;
const CHARACTER_PX = 7;
const PATCH_PX = 34;
const TICK_PX = 34;

/**
 * @param {object} given
 * @param {Dot[]} given.rows @param {Axis} given.axis
 * @param {{title: string, width: number}[]} given.columns of `texts`, widths in px
 * @param {number} given.nameWidth px, at most
 * @param {string} given.label what the drawing shows
 * @param {string} [given.tone] class of the dots: "predicted" or "label"
 */
export function Dots({ rows, axis, columns, nameWidth, label, tone = "predicted" }) {
  const [place, width] = useWidth();
  return html`<div class="dots" ref=${place}>${width > 0 && drawn({ rows, axis, columns, nameWidth, label, tone }, width)}</div>`;
}

/** The dot with its interval, for a legend. @param {{tone: string}} given */
export const DotMark = ({ tone }) => html`<svg class=${tone} width="30" height="12" aria-hidden="true"><line class="interval" x1="1" x2="29" y1="6" y2="6" /><circle class="dot" cx="15" cy="6" r="4.5" /></svg>`;

/** The quiet mark, for a legend. */
export const SecondMark = () => html`<svg width="12" height="12" aria-hidden="true"><rect class="second" x="3" y="3" width="6" height="6" transform="rotate(45 6 6)" /></svg>`;

/** @param {any} given as of Dots @param {number} width px */
function drawn({ rows, axis, columns, nameWidth, label, tone }, width) {
  const most = Math.max(0, ...rows.map((/** @type {Dot} */ row) => row.patches?.length ?? 0));
  const texts = d3.sum(columns, (/** @type {any} */ column) => column.width);
  const left = Math.min(nameWidth, Math.max(...rows.map((/** @type {Dot} */ row) => row.name.length)) * CHARACTER_PX + 12, width * 0.34);
  // On a narrow screen the pictures stand below their row.
  const below = most > 0 && width - left - texts - most * PATCH_PX < 150;
  const plot = Math.max(80, width - left - texts - (below ? 0 : most * PATCH_PX) - 20);
  const row = most === 0 ? 26 : below ? 26 + PATCH_PX : PATCH_PX + 4;
  const scale = (axis.log ? d3.scaleLog() : d3.scaleLinear()).domain(axis.domain).range([0, plot]).clamp(true);
  const ticks = apart(axis.ticks, axis.line, scale);
  const height = AXIS_PX + rows.length * row + 4;
  const middle = below || most === 0 ? 13 : row / 2;
  let start = left + plot + 12;
  const starts = columns.map((/** @type {any} */ column) => (start += column.width));
  return html`<svg data-picture width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} role="group" aria-label=${label}>
    <text class="axis" x=${left} y="10">${axis.title}</text>
    ${columns.map((/** @type {any} */ column, /** @type {number} */ at) => html`<text key=${column.title} class="axis" x=${starts[at]} y="10" text-anchor="end">${column.title}</text>`)}
    <g transform=${`translate(${left} 0)`}>${ticks.map((/** @type {number} */ tick) => html`<g key=${tick}>
      <line class=${tick === axis.line ? "mark" : "tick"} x1=${scale(tick)} x2=${scale(tick)} y1=${AXIS_PX - 6} y2=${height} />
      <text class="axis" x=${scale(tick)} y=${AXIS_PX - 9} text-anchor="middle">${axis.format(tick)}</text></g>`)}</g>
    ${rows.map((/** @type {Dot} */ one, /** @type {number} */ at) => html`<g key=${one.key} class="row" transform=${`translate(0 ${AXIS_PX + at * row})`}>
      <rect class="under" width=${width} height=${row} />
      ${named(one, left, middle)}
      <g transform=${`translate(${left} ${middle})`} class=${tone}>${marks(one, scale)}</g>
      ${one.texts.map((text, column) => html`<text key=${column} class=${column === 0 ? "" : "quiet"} x=${starts[column]} y=${middle + 4} text-anchor="end">${text}</text>`)}
      ${(one.patches ?? []).map((patch, place) => patchAt(patch, below ? left + place * PATCH_PX : start + 8 + place * PATCH_PX, below ? 24 : 2))}
      <title>${one.says}</title></g>`)}
  </svg>`;
}

/** The ticks whose numbers do not touch, the marked one among them. @param {number[]} ticks @param {number | undefined} line @param {any} scale */
function apart(ticks, line, scale) {
  /** @type {number[]} */
  const kept = line === undefined ? [] : [line];
  for (const tick of ticks) if (kept.every((one) => Math.abs(scale(one) - scale(tick)) >= TICK_PX)) kept.push(tick);
  return kept;
}

/** @param {Dot} row @param {number} left @param {number} middle px */
function named({ name, to, open, chosen }, left, middle) {
  const text = html`<text class=${chosen ? "chosen" : ""} x="0" y=${middle + 4}>${cut(name, Math.floor((left - 6) / CHARACTER_PX))}</text>`;
  /** @param {MouseEvent} event */
  const clicked = (event) => {
    if (!open || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    open();
  };
  return to ? html`<a href=${to} aria-label=${name} aria-current=${chosen ? "true" : undefined} onClick=${clicked}>${text}</a>` : text;
}

/** @param {Dot} row @param {any} scale */
function marks({ value, low, high, second }, scale) {
  const given = (/** @type {unknown} */ one) => one !== null && one !== undefined;
  return html`
    ${given(low) && given(high) && html`<line class="interval" x1=${scale(low)} x2=${scale(high)} />`}
    ${given(second) && html`<rect class="second" x="-3" y="-3" width="6" height="6" transform=${`translate(${scale(second)} 0) rotate(45)`} />`}
    ${given(value) && html`<circle class="dot" cx=${scale(value)} r="4.5" />`}`;
}

/** @param {{path: string, to: string, says: string}} patch @param {number} x @param {number} y px */
function patchAt({ path, to, says }, x, y) {
  const size = PATCH_PX - 4;
  return html`<a key=${`${to} ${x}`} href=${to} aria-label=${says}><image href=${media(path)} x=${x} y=${y} width=${size} height=${size} preserveAspectRatio="xMidYMid slice" /><title>${says}</title></a>`;
}
