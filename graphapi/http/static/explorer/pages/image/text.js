// Words and numbers of the page, and names in lines that fit.

import { cut, number } from "../../lib/format.js";

/** "99.7 %", "38 %", "6.1 %", "0.04 %", "<0.01 %". @param {number} value in 0..1 */
export function part(value) {
  const hundred = value * 100;
  if (hundred === 0) return "0 %";
  if (hundred < 0.01) return "<0.01 %";
  if (hundred > 99 && hundred < 100) return hundred > 99.95 ? ">99.9 %" : `${hundred.toFixed(1)} %`; // not all of it
  return `${hundred >= 10 ? hundred.toFixed(0) : hundred.toFixed(hundred >= 1 ? 1 : 2)} %`;
}

/** "34 %", of two roots "34 / 41 %". @param {number[]} values in 0..1 */
export const parts = (values) => values.map((value) => part(value).replace(" %", "")).join(" / ") + " %";

/** "+0.21", "−1.42". @param {number} value */
export const signed = (value) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${number(Math.abs(value))}`;

/**
 * A text in lines of so many letters, broken between words; what does not fit ends with an ellipsis.
 * @param {string} text @param {number} length @param {number} lines
 */
export function wrapped(text, length, lines) {
  /** @type {string[]} */
  const found = [];
  for (const word of text.split(/\s+/)) {
    const last = found[found.length - 1];
    if (last !== undefined && last.length + 1 + word.length <= length) found[found.length - 1] = `${last} ${word}`;
    else found.push(word);
  }
  const kept = found.slice(0, lines);
  if (found.length > lines) kept[lines - 1] = `${kept[lines - 1]} …`;
  return kept.map((line) => cut(line, length));
}

/** "conv4_3 15". @param {{layer: string, channel: number}} node */
export const nameOf = (node) => `${node.layer} ${node.channel}`;
