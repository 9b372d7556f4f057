// The arithmetic of the pyramid: the trees of one or two roots as one, which of their nodes are drawn, what is left out.
// Pure functions; a node goes by its key, LAYER:CHANNEL:Y:X.

/**
 * @typedef {object} Node
 * @property {string} key @property {string} layer @property {number} channel @property {number} y @property {number} x
 * @property {number} depth 0 of a root, 1 of the layer below it
 * @property {number[]} importance by root; 0 where the root does not hold it
 * @property {(number | null)[]} feature by root
 * @property {string | null} cropUrl @property {{x: number, y: number, width: number, height: number} | null} box parts of the picture's width and height
 */
/** @typedef {{root: number, target: string, source: string, share: number, importance: number, rank: number, contribution: number, [more: string]: any}} Edge of one root; target is the upper node */
/** @typedef {{layers: string[], nodes: Map<string, Node>, edges: Edge[], below: Map<string, Edge[]>, above: Map<string, Edge[]>, stored: number[][], roots: number, complete: boolean}} Tree layers by depth; stored: importance of all nodes by depth and root */
/** @typedef {{id: string, depth: number, name: string | null, members: Node[], importance: number[]}} Cell a drawn card: one node, or the members of a group in one row */
/** @typedef {{all: number, notKept: number | null, hidden: number, folded: number}} Rest parts of one root's decision: hidden by sliders, folded behind "more"; notKept is null where the answer is not complete */
/** @typedef {{depth: number, layer: string, cells: Cell[], rest: Rest[], foldedCount: number, hiddenCount: number, nodeCount: number}} Row */
/** @typedef {{id: string, root: number, target: string, source: string, share: number, importance: number}} Link between drawn cells */
/** @typedef {{top: number, depth: number, least: number, fold: number, open: Set<string>, keep: Set<string>, groups: Group[]}} Choice */
/** @typedef {{name: string, keys: string[]}} Group */

/** @param {{layer: string, channel: number, y: number, x: number}} node */
export const keyOf = (node) => `${node.layer}:${node.channel}:${node.y}:${node.x}`;

/**
 * The trees of some roots as one: nodes that two roots share are one node.
 * @param {any[]} decisions of GraphQL, with their evidence
 * @param {string[]} layers the highest first, without the logits
 * @returns {Tree}
 */
export function merged(decisions, layers) {
  const depths = new Map(layers.map((layer, place) => [layer, place + 1]));
  /** @type {Map<string, Node>} */
  const nodes = new Map();
  /** @type {Edge[]} */
  const edges = [];
  decisions.forEach(({ evidence }, root) => {
    const keys = evidence.nodes.map(keyOf);
    evidence.nodes.forEach((/** @type {any} */ node, /** @type {number} */ place) => {
      const depth = place === 0 ? 0 : /** @type {number} */ (depths.get(node.layer));
      const known = nodes.get(keys[place]) ?? { ...node, key: keys[place], depth, importance: decisions.map(() => 0), feature: decisions.map(() => null) };
      known.importance[root] = node.importance;
      known.feature[root] = node.feature;
      nodes.set(keys[place], known);
    });
    for (const edge of evidence.edges) edges.push({ ...edge, root, target: keys[edge.target], source: keys[edge.source] });
  });
  const stored = Array.from({ length: layers.length + 1 }, () => decisions.map(() => 0));
  for (const node of nodes.values()) node.importance.forEach((value, root) => (stored[node.depth][root] += value));
  const complete = decisions.every(({ evidence }) => !evidence.truncated);
  return { layers: ["", ...layers], nodes, edges, below: grouped(edges, "target"), above: grouped(edges, "source"), stored, roots: decisions.length, complete };
}

/** Edges by one of their ends, the most important first. @param {Edge[]} edges @param {"target" | "source"} end */
function grouped(edges, end) {
  /** @type {Map<string, Edge[]>} */
  const found = new Map();
  for (const edge of edges) {
    const known = found.get(edge[end]);
    if (known) known.push(edge);
    else found.set(edge[end], [edge]);
  }
  for (const list of found.values()) list.sort((a, b) => b.importance - a.importance);
  return found;
}

/** Nodes and, of each, one way up to its root, the most important edge of each step. @param {Tree} tree @param {Iterable<string>} keys @returns {Set<string>} */
export function withWayUp(tree, keys) {
  const found = new Set();
  for (const key of keys) {
    for (let at = key; tree.nodes.has(at) && !found.has(at); at = tree.above.get(at)?.[0].target ?? at) found.add(at);
  }
  return found;
}

const most = (/** @type {number[]} */ values) => Math.max(...values);
const sum = (/** @type {number[]} */ values) => values.reduce((all, value) => all + value, 0);

/**
 * The rows of the pyramid, the roots first: of each layer the nodes that the row above leads to by edges of rank below
 * `top`, at least as important as `least`, the `fold` strongest unless the layer is opened; those of `keep` always.
 * @param {Tree} tree @param {Choice} choice
 * @returns {Row[]}
 */
export function rowsOf(tree, choice) {
  const keep = withWayUp(tree, choice.keep);
  const roots = [...tree.nodes.values()].filter((node) => node.depth === 0);
  const groupOf = new Map(choice.groups.flatMap((group) => group.keys.map((key) => [key, group.name])));
  const rows = [rowOf(tree, 0, roots, [], [], new Map())];
  let above = roots;
  for (let depth = 1; depth <= Math.min(choice.depth, tree.layers.length - 1); depth += 1) {
    const led = new Set(above.flatMap((node) => tree.below.get(node.key) ?? []).filter((edge) => edge.rank < choice.top || keep.has(edge.source)).map((edge) => edge.source));
    const all = [...tree.nodes.values()].filter((node) => node.depth === depth).sort((a, b) => most(b.importance) - most(a.importance) || (a.key < b.key ? -1 : 1));
    const wanted = all.filter((node) => led.has(node.key) && (most(node.importance) >= choice.least || keep.has(node.key)));
    const isOpen = choice.open.has(tree.layers[depth]);
    const taken = wanted.filter((node, place) => isOpen || place < choice.fold || keep.has(node.key));
    const shown = new Set(taken);
    rows.push(rowOf(tree, depth, taken, wanted.filter((node) => !shown.has(node)), all, groupOf));
    above = taken;
  }
  return rows;
}

/** @param {Tree} tree @param {number} depth @param {Node[]} taken @param {Node[]} folded @param {Node[]} all @param {Map<string, string>} groupOf @returns {Row} */
function rowOf(tree, depth, taken, folded, all, groupOf) {
  const rest = tree.stored[depth].map((stored, root) => {
    const shown = sum(taken.map((node) => node.importance[root]));
    const behind = sum(folded.map((node) => node.importance[root]));
    // Of two roots each is one node of its row.
    const kept = depth === 0 ? 1 : stored;
    const whole = depth === 0 ? kept : shown;
    return { all: positive(1 - whole), notKept: tree.complete ? positive(1 - kept) : null, hidden: positive(kept - whole - behind), folded: behind };
  });
  const hiddenCount = Math.max(0, all.length - taken.length - folded.length);
  return { depth, layer: tree.layers[depth], cells: cellsOf(taken, depth, groupOf), rest, foldedCount: folded.length, hiddenCount, nodeCount: depth === 0 ? taken.length : all.length };
}

/** Sums of float32 numbers come out a little beside what they are. @param {number} value */
const positive = (value) => (value < 1e-6 ? 0 : value);

/** The cards of a row: nodes alone, and one for the members of each group. @param {Node[]} nodes @param {number} depth @param {Map<string, string>} groupOf @returns {Cell[]} */
function cellsOf(nodes, depth, groupOf) {
  /** @type {Map<string, Cell>} */
  const cells = new Map();
  for (const node of nodes) {
    const name = groupOf.get(node.key) ?? null;
    const id = name === null ? node.key : groupId(node.layer, name);
    const cell = cells.get(id);
    if (cell) {
      cell.members.push(node);
      cell.importance = cell.importance.map((value, root) => value + node.importance[root]);
    } else cells.set(id, { id, depth, name, members: [node], importance: [...node.importance] });
  }
  return [...cells.values()].sort((a, b) => most(b.importance) - most(a.importance));
}

/** @param {string} layer @param {string} name */
export const groupId = (layer, name) => `${layer}:=${name}`;

/**
 * Edges between drawn cards: of cards of several nodes the sum, whose share is its part of the upper card's importance.
 * @param {Tree} tree @param {Row[]} rows @param {Choice} choice
 * @returns {Link[]} the least important first, so that strong ones lie above
 */
export function linksOf(tree, rows, choice) {
  const keep = withWayUp(tree, choice.keep);
  const cellOf = new Map(rows.flatMap((row) => row.cells.flatMap((cell) => cell.members.map((node) => [node.key, cell]))));
  /** @type {Map<string, Link>} */
  const links = new Map();
  for (const edge of tree.edges) {
    const target = cellOf.get(edge.target);
    const source = cellOf.get(edge.source);
    if (!target || !source || (edge.rank >= choice.top && !keep.has(edge.source))) continue;
    const id = `${edge.root} ${target.id} ${source.id}`;
    const link = links.get(id) ?? { id, root: edge.root, target: target.id, source: source.id, share: 0, importance: 0 };
    link.importance += edge.importance;
    const whole = target.importance[edge.root];
    link.share = target.members.length === 1 && source.members.length === 1 ? edge.share : whole > 0 ? link.importance / whole : 0;
    links.set(id, link);
  }
  return [...links.values()].sort((a, b) => a.importance - b.importance);
}

/** @type {WeakMap<Link[], Record<"source" | "target", Map<string, Link[]>>>} */
const ends = new WeakMap();

/** Links by either of their ends, made once for each drawing. @param {Link[]} links */
function byEnd(links) {
  let found = ends.get(links);
  if (!found) {
    found = { source: new Map(), target: new Map() };
    for (const link of links) {
      for (const end of /** @type {("source" | "target")[]} */ (["source", "target"])) {
        const known = found[end].get(link[end]);
        if (known) known.push(link);
        else found[end].set(link[end], [link]);
      }
    }
    ends.set(links, found);
  }
  return found;
}

/**
 * What is on the paths through a card: all ways up to the class, and all ways down.
 * @param {Link[]} links @param {string} id
 * @returns {{cells: Set<string>, links: Set<string>}} ids
 */
export function pathsThrough(links, id) {
  const cells = new Set([id]);
  const found = new Set();
  for (const [from, to] of /** @type {["source" | "target", "source" | "target"][]} */ ([["source", "target"], ["target", "source"]])) {
    const next = byEnd(links)[from];
    const seen = new Set([id]);
    for (const at of seen) {
      for (const link of next.get(at) ?? []) {
        found.add(link.id);
        seen.add(link[to]); // a set is walked over with what is added meanwhile
        cells.add(link[to]);
      }
    }
  }
  return { cells, links: found };
}

/**
 * Where an arrow key leads: along the row, up to the card that gets most of this one, down to the one that gives most.
 * @param {Row[]} rows @param {Link[]} links @param {string | null} id @param {string} arrow of KeyboardEvent.key
 * @returns {string | null} null where there is nothing
 */
export function stepFrom(rows, links, id, arrow) {
  const row = rows.find((one) => one.cells.some((cell) => cell.id === id));
  if (!row) return rows[0]?.cells[0]?.id ?? null;
  const place = row.cells.findIndex((cell) => cell.id === id);
  if (arrow === "ArrowLeft" || arrow === "ArrowRight") return row.cells[place + (arrow === "ArrowRight" ? 1 : -1)]?.id ?? null;
  const [own, other] = /** @type {["source" | "target", "source" | "target"]} */ (arrow === "ArrowUp" ? ["source", "target"] : ["target", "source"]);
  const ways = links.filter((link) => link[own] === id);
  return ways.length ? ways[ways.length - 1][other] : null; // the most important is the last
}
