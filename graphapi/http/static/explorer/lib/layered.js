// A layered drawing of a graph: a column a layer, and within a column the nodes in an order with few crossings.
//
// 1. Each node goes to the barycentre of its neighbours in the column before it, weighted by the edges between them.
// 2. This is swept over the columns, forwards and back in turn, and the order of fewest crossings is kept
//    (Sugiyama, Tagawa and Toda 1981).

const SWEEPS = 12;

/** @typedef {{target: number, source: number, share: number}} Edge indices of nodes */

/**
 * @param {number[][]} columns nodes of each column, in any order
 * @param {Edge[]} edges between neighbouring columns; others do not count
 * @returns {number[][]} the same nodes, ordered
 */
export function ordered(columns, edges) {
  const column = new Map(columns.flatMap((nodes, place) => nodes.map((node) => [node, place])));
  /** Neighbours by node, of the column before (-1) and after (1). @type {Map<number, {node: number, weight: number}[]>[]} */
  const [before, after] = [new Map(), new Map()];
  for (const { target, source, share } of edges) {
    const [from, to] = [column.get(target), column.get(source)];
    if (from === undefined || to === undefined || Math.abs(from - to) !== 1) continue;
    const [left, right] = from < to ? [target, source] : [source, target];
    push(after, left, { node: right, weight: share });
    push(before, right, { node: left, weight: share });
  }
  let current = columns.map((nodes) => [...nodes]);
  let best = { order: current, crossings: crossings(current, after) };
  for (let sweep = 0; sweep < SWEEPS && best.crossings > 0; sweep += 1) {
    const forwards = sweep % 2 === 0;
    current = swept(current, forwards ? before : after, forwards);
    const count = crossings(current, after);
    if (count < best.crossings) best = { order: current, crossings: count };
  }
  return best.order;
}

/**
 * How many pairs of edges between neighbouring columns cross.
 * @param {number[][]} columns @param {Map<number, {node: number}[]>} after neighbours in the next column
 */
export function crossings(columns, after) {
  let count = 0;
  for (let place = 0; place + 1 < columns.length; place += 1) {
    const position = new Map(columns[place + 1].map((node, at) => [node, at]));
    const ends = columns[place].flatMap((node) => (after.get(node) ?? []).map((one) => Number(position.get(one.node))).sort((a, b) => a - b));
    count += inversions(ends, columns[place + 1].length);
  }
  return count;
}

/**
 * Pairs of which the earlier is the larger, by a Fenwick tree.
 * @param {number[]} values in 0..size-1 @param {number} size
 */
function inversions(values, size) {
  const tree = new Array(size + 1).fill(0);
  let count = 0;
  values.forEach((value, seen) => {
    let smaller = 0;
    for (let at = value + 1; at > 0; at -= at & -at) smaller += tree[at];
    count += seen - smaller;
    for (let at = value + 1; at <= size; at += at & -at) tree[at] += 1;
  });
  return count;
}

/**
 * @param {number[][]} columns @param {Map<number, {node: number, weight: number}[]>} neighbours @param {boolean} forwards
 */
function swept(columns, neighbours, forwards) {
  const done = columns.map((nodes) => [...nodes]);
  const places = [...done.keys()];
  if (!forwards) places.reverse();
  for (const place of places.slice(1)) {
    const fixed = new Map(done[forwards ? place - 1 : place + 1].map((node, at, all) => [node, (at + 0.5) / all.length]));
    const centre = new Map(done[place].map((node, at, all) => {
      const near = neighbours.get(node) ?? [];
      const weight = near.reduce((sum, one) => sum + one.weight, 0);
      const mean = near.reduce((sum, one) => sum + one.weight * Number(fixed.get(one.node)), 0) / weight;
      return [node, weight > 0 ? mean : (at + 0.5) / all.length]; // a node without neighbours stays
    }));
    done[place].sort((a, b) => Number(centre.get(a)) - Number(centre.get(b)));
  }
  return done;
}

/** @template K, V @param {Map<K, V[]>} map @param {K} key @param {V} value */
function push(map, key, value) {
  const values = map.get(key);
  if (values) values.push(value);
  else map.set(key, [value]);
}
