// The strongest paths from the class to the lowest layer: pointing at one highlights it in the graph.

import { href } from "../../lib/address.js";
import { html, useState } from "../../lib/vendor.js";
import { Term } from "../../components/term.js";

const FEW = 5;

/** @param {{run: string, index: number, graph: any, onLight: (lit: import("./graph.js").Lit) => void}} given */
export function Paths({ run, index, graph, onLight }) {
  const [all, setAll] = useState(false);
  const { paths, nodes } = graph;
  if (paths.length === 0) return html`<p class="dim">No path of these edges leads down to the lowest layer.</p>`;
  const shown = paths.slice(0, all ? paths.length : FEW);
  return html`<h3>Strongest paths</h3>
    <ol class="paths" onPointerLeave=${() => onLight(null)}>${shown.map((/** @type {any} */ path) => {
      const light = () => onLight(litPath(graph, path));
      return html`<li key=${path.nodes.join(" ")} onPointerEnter=${light} onFocusIn=${light} onFocusOut=${() => onLight(null)}>
        <span class="figure" title="path share"><${Term} word="path share">${part(path.share)}<//></span>
        <span class="steps">${path.nodes.slice(1).map((/** @type {number} */ node, /** @type {number} */ place) => html`${place > 0 && html`<span class="dim" aria-hidden="true"> ← </span>`}<a href=${href.channel(run, nodes[node].layer, nodes[node].channel, { class: index })}><span class="dim">${nodes[node].layer}</span> ${nodes[node].channel}</a>`)}</span></li>`;
    })}</ol>
    ${paths.length > FEW && html`<p class="more"><button type="button" aria-expanded=${all} onClick=${() => setAll(!all)}>${all ? "Fewer paths" : `${FEW} of the first ${paths.length} shown: more`}</button></p>`}`;
}

/** Two significant digits: shares of paths are small. @param {number} share */
const part = (share) => `${Number((share * 100).toPrecision(2))} %`;

/** @param {any} graph @param {any} path @returns {import("./graph.js").Lit} */
function litPath({ edges }, path) {
  const steps = new Set(path.nodes.slice(1).map((/** @type {number} */ node, /** @type {number} */ place) => `${path.nodes[place]} ${node}`));
  const on = edges.flatMap((/** @type {any} */ edge, /** @type {number} */ place) => (steps.has(`${edge.target} ${edge.source}`) ? [place] : []));
  return { edges: new Set(on), nodes: new Set(path.nodes), says: `This path carries ${part(path.share)} of the decisions, if every channel passes its evidence on alike.` };
}
