// Pinned nodes and the groups made of them: both stay in the address.

import { setState } from "../../lib/address.js";
import { html, useState } from "../../lib/vendor.js";
import { Picture } from "../../components/picture.js";
import { Term } from "../../components/term.js";
import { togglePins } from "./keys.js";
import { grouped, groupsText } from "./state.js";
import { nameOf, parts } from "./text.js";

/** @param {{view: import("./view.js").View, choice: {pins: string[], groups: import("./tree.js").Group[]}}} given */
export function Pins({ view, choice }) {
  const { pins, groups } = choice;
  const known = pins.map((key) => view.tree.nodes.get(key)).filter((node) => node !== undefined);
  const elsewhere = pins.length - known.length;
  if (pins.length === 0 && groups.length === 0) return null;
  return html`<div class="pins" role="group" aria-label="pinned nodes and groups">
    ${known.map((node) => html`<span class="chip" key=${node.key}>
      <${Picture} path=${node.cropUrl} says=${`what ${nameOf(node)} sees`} size=${28} />
      <button type="button" class="quiet" onClick=${() => setState({ focus: node.key })}>${nameOf(node)} <span class="dim">${parts(node.importance)}</span></button>
      <button type="button" class="quiet" aria-label=${`unpin ${nameOf(node)}`} onClick=${() => togglePins(pins, [node.key])}>×</button></span>`)}
    ${elsewhere > 0 && html`<span class="dim">${elsewhere} pinned, not in this decision</span>`}
    ${known.length > 0 && html`<${Naming} pins=${known.map((node) => node.key)} groups=${groups} />`}
    ${groups.map((group) => html`<span class="chip" key=${group.name}><b>${group.name}</b> <span class="dim"><${Term} word="supernode">group<//> of ${group.keys.length}</span>
      <button type="button" class="quiet" aria-label=${`dissolve ${group.name}`} onClick=${() => setState({ groups: groupsText(groups.filter((one) => one !== group)), focus: null })}>×</button></span>`)}
  </div>`;
}

/** @param {{pins: string[], groups: import("./tree.js").Group[]}} given */
function Naming({ pins, groups }) {
  const [name, setName] = useState("");
  const made = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (!name.trim()) return;
    setState({ pins: null, focus: null, groups: groupsText(grouped(groups, name.trim(), pins)) });
    setName("");
  };
  /** @param {KeyboardEvent} event */
  const pressed = (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    /** @type {HTMLInputElement} */ (event.target).blur();
  };
  return html`<form class="naming" onSubmit=${made}><input id="group-name" placeholder="name of a group" aria-label="name of the group of pinned nodes" maxlength="40" value=${name} onInput=${(/** @type {any} */ event) => setName(event.target.value)} onKeyDown=${pressed} />
    <button type="submit" disabled=${!name.trim()}>Group ${pins.length}</button></form>`;
}
