// Where the cards of the pyramid and the curves between them lie. Pure functions; lengths in px.

/** @typedef {import("./tree.js").Row} Row */
/** @typedef {import("./tree.js").Link} Link */
/** @typedef {{x: number, y: number, width: number, height: number}} Place */
/** @typedef {{width: number, picture: number, height: number, gap: number, root: number}} Card picture: side of its picture, 0 without; root: width of a root's card */
/** @typedef {{width: number, height: number, cells: Map<string, Place>, heads: {row: Row, y: number, rest: Place | null}[]}} Layout */

export const CARD = 96;
const TEXT = 28;
const BARE_TEXT = 68;
const HEAD = 22;
/** Between rows, for the curves. */
const BETWEEN = 40;
const LINE_GAP = 10;
/** The widest curve, of an edge that carries all. */
const WIDEST = 14;

/**
 * Sizes of cards.
 * @param {boolean} pictures whether there are any @returns {Card}
 */
export const cardOf = (pictures) => ({ width: CARD, picture: pictures ? CARD : 0, height: pictures ? CARD + TEXT : BARE_TEXT, gap: 8, root: 3 * CARD + 16 });

/** How many cards go side by side. @param {number} width @param {Card} card */
export const across = (width, card) => Math.max(1, Math.floor((width + card.gap) / (card.width + card.gap)));

/**
 * Rows below one another, each of as many lines as its cards and its rest take.
 * @param {Row[]} rows @param {number} width @param {Card} card
 * @returns {Layout}
 */
export function placed(rows, width, card) {
  const columns = across(width, card);
  /** @type {Map<string, Place>} */
  const cells = new Map();
  const heads = [];
  let y = 0;
  for (const row of rows) {
    const head = { row, y, rest: /** @type {Place | null} */ (null) };
    y += HEAD;
    const isRoot = row.depth === 0;
    const step = (isRoot ? Math.min(card.root, width) : card.width) + card.gap;
    const perLine = isRoot ? Math.max(1, Math.floor((width + card.gap) / step)) : columns;
    /** @param {number} place @returns {Place} */
    const at = (place) => ({
      x: (place % perLine) * step,
      y: y + Math.floor(place / perLine) * (card.height + LINE_GAP),
      width: step - card.gap,
      height: card.height,
    });
    row.cells.forEach((cell, place) => cells.set(cell.id, at(place)));
    const count = row.cells.length + (isRoot ? 0 : 1);
    if (!isRoot) head.rest = at(count - 1);
    const lines = Math.max(1, Math.ceil(count / perLine));
    y += lines * card.height + (lines - 1) * LINE_GAP + BETWEEN;
    heads.push(head);
  }
  return { width, height: Math.max(0, y - BETWEEN) + 2, cells, heads };
}

/**
 * The curve of a link, from the middle of the upper card's lower side to the middle of the lower one's upper side.
 * @param {Link} link @param {Map<string, Place>} cells @param {number} roots of two, their curves lie side by side
 */
export function curve(link, cells, roots) {
  const upper = /** @type {Place} */ (cells.get(link.target));
  const lower = /** @type {Place} */ (cells.get(link.source));
  const beside = roots > 1 ? (link.root === 0 ? -3 : 3) : 0;
  const [x0, y0] = [upper.x + upper.width / 2 + beside, upper.y + upper.height];
  const [x1, y1] = [lower.x + lower.width / 2 + beside, lower.y];
  const bend = Math.max(16, (y1 - y0) / 2);
  const n = (/** @type {number} */ value) => Math.round(value * 10) / 10;
  return `M${n(x0)} ${n(y0)}C${n(x0)} ${n(y0 + bend)} ${n(x1)} ${n(y1 - bend)} ${n(x1)} ${n(y1)}`;
}

/** Width of a curve: areas of strokes are compared, so the root of the share. @param {number} share */
export const strokeOf = (share) => Math.max(0.75, WIDEST * Math.sqrt(Math.min(1, Math.max(0, share))));

/**
 * The card that a point is in or nearest to.
 * @param {Map<string, Place>} cells @param {number} x @param {number} y @param {number} reach beyond it there is none
 * @returns {string | null} its id
 */
export function nearest(cells, x, y, reach) {
  let found = null;
  let least = reach;
  for (const [id, place] of cells) {
    const across = Math.max(place.x - x, 0, x - place.x - place.width);
    const down = Math.max(place.y - y, 0, y - place.y - place.height);
    const far = Math.hypot(across, down);
    if (far < least || (far === 0 && found === null)) {
      found = id;
      least = far;
    }
  }
  return found;
}
