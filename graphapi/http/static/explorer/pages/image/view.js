// What the page shows, worked out from its address and the answer: which roots, which rows, which card is in focus.

import { LEAST, ROOTS, groupsOf, listed, tops, whole } from "./state.js";
import { keyOf, linksOf, merged, rowsOf } from "./tree.js";

/** @typedef {{decision: any, hue: string, name: string}} Root a decision of GraphQL, "predicted" or "label", and the class's name */
/**
 * @typedef {object} View
 * @property {string} root predicted, label or both @property {Root[]} roots
 * @property {import("./tree.js").Tree} tree @property {import("./tree.js").Row[]} rows @property {import("./tree.js").Link[]} links
 * @property {Map<string, import("./tree.js").Cell>} cells by id @property {import("./tree.js").Cell | null} focused
 * @property {(key: string) => import("./tree.js").Edge | null} edgeInto a node, the strongest
 * @property {(key: string) => string | null} mapOf the strongest edge into a node that has one
 */

/**
 * @param {import("../../lib/hooks.js").Run} run
 * @param {Record<string, string>} state of the address
 */
export function chosen(run, state) {
  const layers = run.layers.slice(0, -1).reverse().map((layer) => layer.name);
  const least = Number(state.least);
  return {
    layers,
    ...topOf(run, state),
    depth: whole(state.depth, 1, layers.length, layers.length),
    least: least > 0 && least <= LEAST[LEAST.length - 1] ? least : 0,
    open: new Set(listed(state.open)),
    pins: listed(state.pins),
    groups: groupsOf(state.groups),
    focus: state.focus ?? null,
    show: ["crop", "whole"].includes(state.show) ? state.show : "field",
  };
}

/**
 * Edges of a decomposition: drawn, by default, at most; and asked for, null for all that the run keeps.
 * @param {import("../../lib/hooks.js").Run} run @param {Record<string, string>} state
 */
export function topOf(run, state) {
  const { first, most } = tops(run.topN, run.layers.length - 1);
  const top = whole(state.top, 1, most, first);
  const asked = Math.max(first, top);
  return { top, firstTop: first, mostTop: most, askedTop: asked === run.topN ? null : asked };
}

/**
 * @param {any} image of GraphQL @param {ReturnType<typeof chosen>} choice @param {string | undefined} root of the address
 * @param {number} fold cards of a row that is not opened
 * @returns {View}
 */
export function viewOf(image, choice, root, fold) {
  const roles = image.decisions.map((/** @type {any} */ decision) => decision.role.toLowerCase());
  const wanted = roles.length > 1 && root && ROOTS.includes(root) ? root : "predicted";
  const decisions = image.decisions.filter((/** @type {any} */ _, /** @type {number} */ place) => wanted === "both" || roles[place] === wanted);
  const tree = merged(decisions, choice.layers);
  const { focus, pins, groups, ...limits } = choice;
  const keep = new Set([...pins, ...groups.flatMap((group) => group.keys), ...(focus ? [focus] : [])].filter((key) => tree.nodes.has(key)));
  const rowChoice = { ...limits, fold, keep, groups };
  const rows = rowsOf(tree, rowChoice);
  const links = linksOf(tree, rows, rowChoice);
  const cells = new Map(rows.flatMap((row) => row.cells.map((cell) => [cell.id, cell])));
  // A node in a group is in focus as the group; one that is below the depth is not there.
  const inGroup = focus && [...cells.values()].find((cell) => cell.members.some((node) => node.key === focus));
  return {
    root: wanted,
    roots: decisions.map((/** @type {any} */ decision) => ({ decision, hue: decision.role.toLowerCase(), name: decision.class.name })),
    tree,
    rows,
    links,
    cells,
    focused: (focus && cells.get(focus)) || inGroup || null,
    edgeInto: (key) => tree.above.get(key)?.[0] ?? null,
    mapOf: (key) => tree.above.get(key)?.find((edge) => edge.mapUrl)?.mapUrl ?? null,
  };
}

/** Key of a decision's root. @param {any} decision */
export const rootKey = (decision) => keyOf(decision.evidence.nodes[0]);
