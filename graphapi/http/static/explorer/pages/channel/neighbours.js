// The channels below that feed it, and those above that it feeds.

import { href } from "../../lib/address.js";
import { count, number } from "../../lib/format.js";
import { html } from "../../lib/vendor.js";
import { Bars, More } from "../../components/bars.js";
import { Panel } from "../../components/panel.js";
import { Term } from "../../components/term.js";

/** @param {any} given see page.js */
export const Feeds = (given) => html`<${Side} ...${given} id="feeds" title="Fed by" of=${given.evidence?.supporters} none=${given.layer?.index === 0 ? `${given.place.layer} is the lowest layer of the run: nothing below it was decomposed.` : "No decision splits this channel into channels of the layer below."} />`;

/** @param {any} given see page.js */
export const Fed = (given) => html`<${Side} ...${given} id="fed" title="Feeds" of=${given.evidence?.supports} none="No decision has it as evidence of a channel of the layer above." />`;

/** @param {any} given of page.js; id, title, of: the connection, none: why it may be empty */
function Side({ place, state, result, id, title, of, none, forClass, unheld }) {
  const nodes = of?.nodes ?? [];
  const bars = nodes.map((/** @type {any} */ row) => {
    const { class: isClass, layer, index } = row.channel;
    return {
      key: `${layer.name} ${index}`,
      name: isClass ? isClass.name : `${layer.name} ${index}`,
      to: isClass ? href.class(place.run, isClass.index, { layer: place.layer }) : href.channel(place.run, layer.name, index, { class: state.class }),
      value: row.rate,
      says: `${count(row.decisions)} of ${count(Math.round(row.decisions / row.rate))} · share ${number(row.meanShare)}`,
      picture: isClass ? undefined : (row.channel.peaks.nodes[0]?.cropUrl ?? null),
    };
  });
  const pictured = nodes.some((/** @type {any} */ row) => row.channel.peaks.nodes[0]?.cropUrl);
  const rows = () => nodes.map((/** @type {any} */ { channel: other, ...row }) => ({ layer: other.layer.name, channel: other.index, class: other.class?.name, ...row }));
  return html`<${Panel} id=${id} title=${html`${title}${forClass} <span class="dim">${of && count(of.totalCount)}</span>`} result=${result} rows=${rows} height=${360} empty=${unheld || (of && nodes.length === 0 && none)}>
    <p class="dim aside">Decisions with such an <${Term} word="edge">edge<//>, of all${forClass}, and its mean <${Term} word="share">share<//>.</p>
    <${Bars} bars=${pictured ? bars : bars.map((/** @type {any} */ bar) => ({ ...bar, picture: undefined }))} label=${`${title}, by decisions`} />
    <${More} shown=${nodes.length} total=${of?.totalCount ?? 0} name=${id} />
  <//>`;
}
