// The graph as layered columns: the class on the left, the lowest layer on the right.

import { go, href } from "../../lib/address.js";
import { cut, number, outOf, percent } from "../../lib/format.js";
import { useWidth } from "../../lib/hooks.js";
import { ordered } from "../../lib/layered.js";
import { d3, html, useMemo, useRef, useState } from "../../lib/vendor.js";

const NEAR_PX = 30;
const HEAD_PX = 34;
const COLUMN_PX = 84;
const SIDE_PX = { left: 56, right: 40 };

/** @typedef {{x: number, y: number, radius: number}} Place px */

/**
 * Where each node is.
 * @param {any} graph @param {number} width px
 * @returns {{places: Place[], columns: {layer: string, x: number}[], width: number, height: number}}
 */
function layout({ nodes, edges }, width) {
  /** @type {Map<string, number[]>} */
  const layers = new Map();
  nodes.forEach((/** @type {any} */ node, /** @type {number} */ place) => layers.set(node.layer, [...(layers.get(node.layer) ?? []), place]));
  const order = ordered([...layers.values()], edges);
  const most = Math.max(...order.map((column) => column.length));
  const row = most <= 12 ? 32 : most <= 20 ? 26 : 22;
  const inside = most * row;
  const whole = Math.max(width, SIDE_PX.left + SIDE_PX.right + (order.length - 1) * COLUMN_PX);
  const step = order.length > 1 ? (whole - SIDE_PX.left - SIDE_PX.right) / (order.length - 1) : 0;
  /** @type {Place[]} */
  const places = [];
  order.forEach((column, at) => {
    const gap = Math.min(row * 2, inside / column.length);
    column.forEach((node, down) => {
      const y = HEAD_PX + inside / 2 + (down - (column.length - 1) / 2) * gap;
      places[node] = { x: SIDE_PX.left + at * step, y, radius: 3 + Math.min(row / 2 - 5, 9) * Math.sqrt(nodes[node].throughflow) };
    });
  });
  return { places, columns: [...layers.keys()].map((layer, at) => ({ layer, x: SIDE_PX.left + at * step })), width: whole, height: HEAD_PX + inside + 12 };
}

/**
 * @param {object} given
 * @param {string} given.run @param {number} given.index of the class @param {any} given.graph
 * @param {import("./graph.js").Lit} given.lit @param {(lit: import("./graph.js").Lit) => void} given.onLight
 * @param {string} given.tone
 */
export function Drawing({ run, index, graph, lit, onLight, tone }) {
  const [place, width] = useWidth();
  const laid = useMemo(() => (width > 0 ? layout(graph, width) : null), [graph, width]);
  // Edges are many and never change while the pointer moves: those that are lit are drawn over them.
  const paths = useMemo(() => (laid ? graph.edges.map((/** @type {any} */ edge) => link(laid.places[edge.target], laid.places[edge.source])) : []), [laid]);
  const base = useMemo(() => paths.map((/** @type {string} */ path, /** @type {number} */ at) => html`<path key=${at} d=${path} stroke-width=${thickness(graph.edges[at].share)} />`), [paths]);
  const last = useRef(/** @type {number | null} */ (null));
  const [current, setCurrent] = useState(0);
  const light = (/** @type {number | null} */ node) => {
    if (node === last.current) return;
    last.current = node;
    onLight(node === null ? null : through(graph, node));
  };
  const nearest = (/** @type {any} */ event) => (laid ? near(laid.places, d3.pointer(event, event.currentTarget)) : null);
  /** @param {MouseEvent} event */
  const opened = (event) => {
    const node = nearest(event);
    if (node !== null && !(event.target instanceof Element && event.target.closest("a"))) go(to(run, index, graph.nodes[node]));
  };
  /** One node is in the order of tabs; arrows lead from it to those beside. @param {KeyboardEvent & {currentTarget: any}} event */
  const pressed = (event) => {
    const next = laid ? beside(laid.places, current, event.key) : null;
    if (next === null) return;
    event.preventDefault();
    setCurrent(next);
    event.currentTarget.querySelectorAll("a.node")[next].focus();
  };
  return html`<div class="graph" ref=${place} tabindex="0" role="region" aria-label="evidence graph, from the class down">${laid && html`
    <svg data-picture class=${`${tone}${lit ? " lit" : ""}`} width=${laid.width} height=${laid.height} viewBox=${`0 0 ${laid.width} ${laid.height}`} role="group" aria-label="channels and the evidence between them"
      onPointerMove=${(/** @type {any} */ event) => light(nearest(event))} onPointerLeave=${() => light(null)} onClick=${opened} onKeyDown=${pressed}>
      ${laid.columns.map((/** @type {{layer: string, x: number}} */ { layer, x }, /** @type {number} */ at) => html`<text key=${layer} class="axis" x=${x} y="12" text-anchor="middle">${at === 0 ? "class" : cut(layer, 13)}<title>${layer}</title></text>`)}
      <g class="edges">${base}</g>
      <g class="over">${lit && [...lit.edges].map((at) => html`<path key=${at} d=${paths[at]} stroke-width=${thickness(graph.edges[at].share)} />`)}</g>
      ${graph.nodes.map((/** @type {any} */ node, /** @type {number} */ at) => html`<${Node} key=${at} to=${to(run, index, node)} name=${at === 0 ? graph.class.name : String(node.channel)} says=${says(graph, at)} first=${at === 0}
        place=${laid.places[at]} faded=${Boolean(lit) && !lit?.nodes.has(at)} tab=${at === current} onFocus=${() => { setCurrent(at); light(at); }} onBlur=${() => light(null)} />`)}
    </svg>`}</div>`;
}

/** @param {any} given */
function Node({ to: address, name, says: sentence, first, place: { x, y, radius }, faded, tab, onFocus, onBlur }) {
  return html`<a href=${address} class=${faded ? "node faded" : "node"} aria-label=${sentence} tabindex=${tab ? 0 : -1} onFocus=${onFocus} onBlur=${onBlur}>
    <circle cx=${x} cy=${y} r=${radius} />
    <text x=${first ? 4 : x + radius + 4} y=${first ? y - radius - 7 : y + 4} text-anchor="start">${cut(name, first ? 18 : 6)}<title>${name}</title></text></a>`;
}

/** @param {string} run @param {number} index @param {any} node */
const to = (run, index, { layer, channel }) => (layer === "logits" ? href.class(run, index) : href.channel(run, layer, channel, { class: index }));

/** px of an edge. @param {number} share in 0..1 */
export const thickness = (share) => 0.5 + 11 * share;

/** @param {Place} target @param {Place} source */
const link = (target, source) => d3.linkHorizontal()({ source: [target.x, target.y], target: [source.x, source.y] });

/** The node that is nearest to a point, if it is near. @param {Place[]} places @param {[number, number]} point */
function near(places, [x, y]) {
  const found = d3.leastIndex(places, (/** @type {Place} */ one) => Math.hypot(one.x - x, one.y - y));
  return Math.hypot(places[found].x - x, places[found].y - y) <= NEAR_PX ? found : null;
}

/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

/** The node that an arrow leads to: the nearest of the next column, or the next of the same. @param {Place[]} places @param {number} from @param {string} key */
function beside(places, from, key) {
  if (!ARROWS[key]) return null;
  const [right, down] = ARROWS[key];
  const { x, y } = places[from];
  /** @param {Place} one */
  const distance = (one) => (right ? (one.x - x) * right > 1 && Math.hypot((one.x - x) * 10, one.y - y) : Math.abs(one.x - x) < 1 && (one.y - y) * down > 1 && (one.y - y) * down) || Infinity;
  const next = d3.leastIndex(places, distance);
  return distance(places[next]) === Infinity ? null : next;
}

/** A node with all that leads to it and on from it. @param {any} graph @param {number} node @returns {import("./graph.js").Lit} */
function through(graph, node) {
  const nodes = new Set([node]);
  const edges = new Set(/** @type {number[]} */ ([]));
  for (const [from, next] of [["target", "source"], ["source", "target"]]) {
    const reached = new Set([node]);
    // Edges are listed from the class down, so that one pass in their order, or back, finds all.
    const places = [...graph.edges.keys()];
    for (const at of from === "target" ? places : places.reverse()) {
      if (!reached.has(graph.edges[at][from])) continue;
      reached.add(graph.edges[at][next]);
      edges.add(at);
    }
    reached.forEach((one) => nodes.add(one));
  }
  return { nodes, edges, says: says(graph, node) };
}

/** @param {any} graph @param {number} at */
function says(graph, at) {
  const { layer, channel, decisions, importance, throughflow } = graph.nodes[at];
  const name = at === 0 ? graph.class.name : `${layer} ${channel}`;
  const kept = d3.sum(graph.edges.filter((/** @type {any} */ edge) => edge.target === at), (/** @type {any} */ edge) => edge.share);
  const rest = kept > 0 ? `; the edges shown carry ${percent(Math.min(1, kept), 0)} of it` : "";
  return `${name}: ${outOf(decisions, graph.decisions, "decisions")}, importance ${number(importance)}, throughflow ${percent(throughflow, 0)}${rest}`;
}
