// Failures in groups of like evidence: each a card with what is typical of it.

import { href } from "../../lib/address.js";
import { count, number, outOf, percent } from "../../lib/format.js";
import { useQuery } from "../../lib/hooks.js";
import { className, shortName } from "../../lib/names.js";
import { html } from "../../lib/vendor.js";
import { Panel } from "../../components/panel.js";
import { Picture } from "../../components/picture.js";
import { Strip } from "../../components/strip.js";
import { MODES } from "./queries.js";

/** What a rate is to be held against, as far as there is such. @param {{otherRate: number | null, rightRate: number | null}} one */
function against({ otherRate, rightRate }) {
  return [otherRate === null ? "" : `others ${percent(otherRate, 0)}`, rightRate === null ? "" : `right ones ${percent(rightRate, 0)}`].filter(Boolean).join(", ");
}

/** @param {{run: import("../../lib/hooks.js").Run, layer: string, state: Record<string, string>}} given */
export function Modes({ run, layer, state }) {
  const result = useQuery(MODES, {
    run: run.name,
    layer,
    label: state.label ? className(state.label) : null,
    predicted: state.predicted ? className(state.predicted) : null,
  });
  const answer = result.data?.run.failureModes;
  const modes = answer?.modes ?? [];
  const rows = () => modes.flatMap((/** @type {any} */ mode, /** @type {number} */ place) => mode.channels.map((/** @type {any} */ one) => ({ mode: place + 1, size: mode.size, channel: `${one.channel.layer.name} ${one.channel.index}`, count: one.count, rate: one.rate, otherRate: one.otherRate, rightRate: one.rightRate })));
  return html`<${Panel} id="modes" title=${`Failure modes at ${layer}`} result=${result} rows=${rows} height=${320}
    empty=${answer && modes.length === 0 && (answer.failures ? `${count(answer.failures)} wrong decisions, too few or too different to fall into groups of three or more.` : "There are no wrong decisions of this label and prediction.")}>
    ${answer && html`<p class="dim">${outOf(answer.failures - answer.unassigned, answer.failures, "wrong decisions")} in ${modes.length} ${modes.length === 1 ? "group" : "groups"} of like evidence${answer.silhouette === null ? "" : `, silhouette ${number(answer.silhouette)}`}${answer.truncated ? "; 500 of all failures, taken evenly" : ""}.</p>`}
    ${answer?.reason && html`<p class="warned" role="note"><b>Right ones are not alike:</b> ${answer.reason}</p>`}
    <ol class="modes">${modes.map((/** @type {any} */ mode, /** @type {number} */ place) => html`<li key=${place} class="mode"><h3>${count(mode.size)} failures</h3>
      <p>${mode.confusions.map((/** @type {any} */ one, /** @type {number} */ at) => html`${at ? ", " : ""}<a key=${at} href=${href.failures(run.name, { ...state, label: one.label.index, predicted: one.predicted.index })}>${shortName(one.label.name)} → ${shortName(one.predicted.name)}</a> ${count(one.images)}`)}</p>
      <ul class="signature">${mode.channels.map((/** @type {any} */ one) => html`<li key=${one.channel.index}>
        <a href=${href.channel(run.name, one.channel.layer.name, one.channel.index)}>${one.channel.layer.name} ${one.channel.index}</a>
        ${one.channel.peaks.nodes.map((/** @type {any} */ peak, /** @type {number} */ at) => html`<${Picture} key=${at} path=${peak.cropUrl} says=${`a peak of ${one.channel.layer.name} ${one.channel.index}`} size=${36} />`)}
        <span>${percent(one.rate, 0)} <span class="dim">${against(one)}</span></span></li>`)}</ul>
      ${mode.contextLabels.length > 0 && html`<p class="dim">on ${mode.contextLabels.map((/** @type {any} */ one) => `${one.label} ${percent(one.rate, 0)}${one.otherRate === null ? "" : ` (others ${percent(one.otherRate, 0)})`}`).join(", ")}</p>`}
      <${Strip} says="examples" run=${run.name} images=${mode.examples.map((/** @type {any} */ one) => one.image)} size=${72} /></li>`)}</ol>
  <//>`;
}
