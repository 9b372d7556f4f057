// What is known of the card in focus: its numbers, what it lies on, what the network says without it, its neighbours.

import { href, setState } from "../../lib/address.js";
import { cut, number } from "../../lib/format.js";
import { html } from "../../lib/vendor.js";
import { Picture } from "../../components/picture.js";
import { Term } from "../../components/term.js";
import { cellName } from "./card.js";
import { togglePins } from "./keys.js";
import { nameOf, part } from "./text.js";
import { Tested } from "./tested.js";

/** @typedef {import("./tree.js").Cell} Cell */
/** @typedef {import("./tree.js").Edge} Edge */
/** @typedef {import("./view.js").View} View */
const FEW = 8;

/** @param {{run: import("../../lib/hooks.js").Run, image: any, view: View | null, choice: {pins: string[], focus: string | null}}} given */
export function Inspector({ run, image, view, choice }) {
  const { focus } = choice;
  const cell = view?.focused;
  if (view && !cell && focus) {
    return html`<aside class="inspector" aria-label="inspector"><header><h2>${focus.split(":").slice(0, 2).join(" ")}</h2><button type="button" class="quiet" aria-label="close" onClick=${() => setState({ focus: null })}>×</button></header>
      <p class="dim">It is no evidence that is drawn for ${view.roots.map((root) => root.name).join(" or ")}: the decision does not hold it there, or it lies below the layers shown.</p></aside>`;
  }
  if (!view || !cell) {
    return html`<aside class="inspector idle" aria-label="inspector"><h2>Nothing in focus</h2>
      <p class="dim">Point at a card to see its paths from the class down. Click it, and what is known of it stands here: how much it gives to the decision, what it lies on in the image, and what the network decides without it.</p></aside>`;
  }
  const pinned = cell.members.every((node) => choice.pins.includes(node.key));
  return html`<aside class="inspector" aria-label="inspector" aria-live="polite">
    <header><h2>${cell.depth === 0 ? view.roots[rootOf(view, cell)].name : cellName(cell)}</h2>
      ${cell.depth > 0 && html`<button type="button" aria-pressed=${pinned} onClick=${() => togglePins(choice.pins, cell.members.map((node) => node.key))}>${pinned ? "Pinned" : "Pin"}</button>`}
      <button type="button" class="quiet" aria-label="close" onClick=${() => setState({ focus: null })}>×</button></header>
    ${cell.depth === 0 ? html`<${OfRoot} run=${run} view=${view} cell=${cell} />` : cell.name ? html`<${OfGroup} view=${view} cell=${cell} />` : html`<${OfNode} run=${run} view=${view} node=${cell.members[0]} image=${image} />`}
  </aside>`;
}

/** @param {View} view @param {Cell} cell */
const rootOf = (view, cell) => Math.max(0, cell.importance.findIndex((value) => value > 0));

/** @param {{run: import("../../lib/hooks.js").Run, view: View, cell: Cell}} given */
function OfRoot({ run, view, cell }) {
  const { decision } = view.roots[rootOf(view, cell)];
  return html`<dl class="figures"><dt>Probability</dt><dd>${part(decision.probability)}</dd><dt>Logit</dt><dd>${number(decision.logit)}</dd></dl>
    <p><a href=${href.class(run.name, decision.class.index)}>The class over all images</a></p>
    <${Neighbours} view=${view} title="supported by" edges=${view.tree.below.get(cell.id) ?? []} end="source" />`;
}

/** @param {{view: View, cell: Cell}} given */
function OfGroup({ view, cell }) {
  return html`<p class="dim"><${Term} word="supernode">Group<//> of ${cell.members.length} nodes in this row.</p>
    <dl class="figures">${view.roots.map((root, at) => html`<dt key=${root.hue}><${Term} word="importance">importance<//> for ${root.name}</dt><dd>${part(cell.importance[at])}</dd>`)}</dl>
    <h3>Nodes</h3><ul class="neighbours">${cell.members.map((node) => html`<li key=${node.key}><${Picture} path=${node.cropUrl} says=${`what ${nameOf(node)} sees`} size=${28} /><span>${nameOf(node)} <span class="dim">at ${node.y}, ${node.x}</span></span><span class="numeric">${part(Math.max(...node.importance))}</span></li>`)}</ul>
    <${Links} view=${view} title="supported by" of=${cell.id} here="target" there="source" />
    <${Links} view=${view} title="supports" of=${cell.id} here="source" there="target" />`;
}

/**
 * Drawn neighbours of a group, with the part of the decision that goes between.
 * @param {{view: View, title: string, of: string, here: "source" | "target", there: "source" | "target"}} given
 */
function Links({ view, title, of, here, there }) {
  const links = view.links.filter((link) => link[here] === of).reverse();
  return html`<h3>${title}</h3>
    ${links.length === 0 ? html`<p class="dim">nothing that is drawn</p>` : html`<ul class="neighbours">${links.slice(0, FEW).map((link) => {
      const cell = /** @type {Cell} */ (view.cells.get(link[there]));
      return html`<li key=${link.id}><i class=${`swatch ${view.roots[link.root].hue}`}></i>
        <button type="button" class="quiet link" onClick=${() => setState({ focus: cell.id })}>${cell.depth === 0 ? view.roots[link.root].name : cellName(cell)}</button><span class="numeric">${part(link.importance)}</span></li>`;
    })}</ul>`}`;
}

/** @param {{run: import("../../lib/hooks.js").Run, view: View, node: import("./tree.js").Node, image: any}} given */
function OfNode({ run, view, node, image }) {
  const into = view.tree.above.get(node.key) ?? [];
  const [edge] = into;
  const map = view.mapOf(node.key);
  const layer = run.layers.find((one) => one.name === node.layer);
  return html`
    <div class="two-pictures"><figure><${Picture} path=${node.cropUrl} says=${`what ${nameOf(node)} sees`} size=${136} /><figcaption><${Term} word="receptive field">receptive field<//></figcaption></figure>
      <figure><${Picture} path=${map} says=${`activation of ${nameOf(node)}`} size=${136} /><figcaption><${Term} word="activation">activation<//></figcaption></figure></div>
    <dl class="figures">
      ${view.roots.map((root, at) => node.importance[at] > 0 && html`<dt key=${root.hue}><i class=${`swatch ${root.hue}`}></i><${Term} word="importance">importance<//> for ${cut(root.name, 24)}</dt><dd>${part(node.importance[at])}</dd>`)}
      ${edge && html`<dt><${Term} word="share">share<//> of ${cut(targetName(view, edge), 24)}</dt><dd>${part(edge.share)}</dd>
        <dt><${Term} word="rank">rank<//> there</dt><dd>${edge.rank + 1} of ${(view.tree.below.get(edge.target) ?? []).filter((one) => one.root === edge.root).length} kept</dd>
        <dt><${Term} word="contribution">contribution<//></dt><dd>${number(edge.contribution)}</dd>
        <dt><${Term} word="activation">activation<//></dt><dd>${number(edge.activation)}</dd>`}
      <dt><${Term} word="feature">feature<//></dt><dd>${number(node.feature.find((value) => value !== null))}</dd>
      <dt>place</dt><dd>${node.y}, ${node.x}${layer && ` of ${layer.height} × ${layer.width}`}</dd>
      ${edge?.contextLabel && html`<dt>lies on, by <${Term} word="IoU">IoU<//></dt><dd>${edge.contextLabel} <span class="dim">${number(edge.contextIou)}</span></dd>`}
      ${edge?.contextLabelAtPeak && html`<dt>under the <${Term} word="peak">peak<//></dt><dd>${edge.contextLabelAtPeak}</dd>
        ${edge.contextActivationShare !== null && html`<dt>of the map on ${edge.contextLabelAtPeak}</dt><dd>${part(edge.contextActivationShare)}</dd>`}`}
    </dl>
    <p><a href=${href.channel(run.name, node.layer, node.channel)}>The channel over all images</a></p>
    <${Tested} edges=${into} label=${image.label} name=${(/** @type {Edge} */ one) => targetName(view, one)} />
    ${edge?.overlaps.length > 0 && html`<h3>Stands for</h3><p class="dim">Channels of ${node.layer} whose masks overlap its own.</p>
      <ul class="plain">${edge.overlaps.map((/** @type {any} */ one) => html`<li key=${one.channel}><a href=${href.channel(run.name, node.layer, one.channel)}>${node.layer} ${one.channel}</a> <span class="dim">IoU ${number(one.iou)}, contribution ${number(one.contribution)}</span></li>`)}</ul>`}
    <${Neighbours} view=${view} title="supported by" edges=${view.tree.below.get(node.key) ?? []} end="source" />
    <${Neighbours} view=${view} title="supports" edges=${into} end="target" />`;
}

/** @param {View} view @param {Edge} edge */
function targetName(view, edge) {
  const node = view.tree.nodes.get(edge.target);
  return node && node.depth > 0 ? nameOf(node) : view.roots[edge.root].name;
}

/** @param {{view: View, title: string, edges: Edge[], end: "source" | "target"}} given */
function Neighbours({ view, title, edges, end }) {
  const sorted = [...edges].sort((a, b) => b.share - a.share);
  return html`<h3>${title}</h3>
    ${sorted.length === 0 ? html`<p class="dim">nothing that is kept</p>` : html`<ul class="neighbours">${sorted.slice(0, FEW).map((edge) => {
      const node = /** @type {import("./tree.js").Node} */ (view.tree.nodes.get(edge[end]));
      const name = node.depth > 0 ? nameOf(node) : view.roots[edge.root].name;
      return html`<li key=${`${edge.root} ${node.key}`}><i class=${`swatch ${view.roots[edge.root].hue}`}></i>
        <button type="button" class="quiet link" onClick=${() => setState({ focus: node.key })}>${name}</button>
        <span class="bar-place"><span class=${`bar ${view.roots[edge.root].hue}`} style=${{ width: `${Math.max(1, edge.share * 64)}px` }}></span></span><span class="numeric">${part(edge.share)}</span></li>`;
    })}</ul>`}
    ${sorted.length > FEW && html`<p class="dim">and ${sorted.length - FEW} weaker</p>`}`;
}
