// The classes that the channel serves: of their decisions, the part that holds it.

import { href } from "../../lib/address.js";
import { count, number, outOf } from "../../lib/format.js";
import { html } from "../../lib/vendor.js";
import { Bars, More } from "../../components/bars.js";
import { Panel } from "../../components/panel.js";
import { Term } from "../../components/term.js";

/** @param {any} given see page.js */
export function Classes({ place, state, channel, always }) {
  const nodes = channel?.support.nodes ?? [];
  const bars = nodes.map((/** @type {any} */ row) => ({
    key: String(row.class.index),
    name: row.class.name,
    to: href.class(place.run, row.class.index, { layer: place.layer }),
    value: row.rate,
    says: outOf(row.decisions, Math.round(row.decisions / row.rate), ""),
    marked: String(row.class.index) === state.class,
  }));
  const rows = () => nodes.map((/** @type {any} */ { class: of, ...row }) => ({ class: of.index, name: of.name, ...row }));
  return html`<${Panel} id="classes" title=${html`Classes it serves <span class="dim">${channel && count(channel.support.totalCount)}</span>`} result=${always} rows=${rows} height=${240}
    empty=${channel && nodes.length === 0 && "No decision for a predicted class holds this channel: it is among the strongest of none."}>
    <p class="dim aside"><${Term} word="rate">Decisions that hold it<//>, of all for the predicted class; most first.</p>
    <${Bars} bars=${bars} label="classes by decisions that hold the channel" />
    <${More} shown=${nodes.length} total=${channel?.support.totalCount ?? 0} name="classes" />
    ${nodes.length > 0 && html`<p class="dim aside">Most of all: <${Term} word="mean share">mean share<//> ${number(nodes[0].meanShare)}, mean <${Term} word="importance">importance<//> ${number(nodes[0].meanImportance)} for ${nodes[0].class.name}.</p>`}
  <//>`;
}
