// What of the page is in its address: pins are keys of nodes, groups are names with keys.
//
//   root=label  focus=conv4_3:15:7:3  pins=KEY,KEY  groups=NAME=KEY,KEY;NAME=KEY  top=2  depth=3  least=0.01  open=conv2_2,conv1_2
//   show=crop|whole  large=1

/** @typedef {import("./tree.js").Group} Group */

export const ROOTS = ["predicted", "label", "both"];
/** Least importance of a drawn node, as the slider has it. */
export const LEAST = [0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2];

/** @param {string | undefined} text @returns {string[]} */
export const listed = (text) => (text ? text.split(",").filter(Boolean) : []);

/** @param {string | undefined} text @returns {Group[]} */
export function groupsOf(text) {
  return (text ?? "").split(";").filter(Boolean).map((part) => {
    const [name, keys] = part.split("=");
    return { name: decoded(name), keys: listed(keys) };
  }).filter((group) => group.name && group.keys.length);
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** @param {Group[]} groups */
export const groupsText = (groups) => groups.map(({ name, keys }) => `${encodeURIComponent(name)}=${keys.join(",")}`).join(";");

/**
 * A group more; nodes are in one group at most, and groups of one name are one.
 * @param {Group[]} groups @param {string} name @param {string[]} keys
 */
export function grouped(groups, name, keys) {
  const others = groups.map((group) => ({ ...group, keys: group.keys.filter((key) => !keys.includes(key)) }));
  const same = others.find((group) => group.name === name);
  if (same) same.keys.push(...keys);
  else others.push({ name, keys });
  return others.filter((group) => group.keys.length);
}

/**
 * A whole number of the address within its bounds, or what it is by itself.
 * @param {string | undefined} text @param {number} least @param {number} largest @param {number} byDefault
 */
export function whole(text, least, largest, byDefault) {
  const value = Number(text);
  return text && Number.isInteger(value) ? Math.min(largest, Math.max(least, value)) : byDefault;
}

/** Edges of a tree without shared nodes: what is asked for at first, and what an answer of a megabyte has room for. */
const [FIRST_EDGES, MOST_EDGES] = [1500, 4000];

/**
 * How many edges of each decomposition are asked for: all the run keeps, unless a decision's tree may be larger than an answer should be.
 * @param {number} topN of the run @param {number} layers
 * @returns {{first: number, most: number}} before the slider is moved, and at its end
 */
export function tops(topN, layers) {
  const edges = (/** @type {number} */ top) => Array.from({ length: layers }, (_, depth) => top ** (depth + 1)).reduce((all, value) => all + value, 0);
  /** @param {number} limit */
  const within = (limit) => {
    let top = 1;
    while (top < topN && edges(top + 1) <= limit) top += 1;
    return top;
  };
  return { first: within(FIRST_EDGES), most: within(MOST_EDGES) };
}
