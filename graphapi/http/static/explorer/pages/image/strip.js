// Where to go from here: other images of the label, the failure before and the one after.

import { href } from "../../lib/address.js";
import { fileName } from "../../lib/format.js";
import { html } from "../../lib/vendor.js";
import { Panel } from "../../components/panel.js";
import { Picture } from "../../components/picture.js";

/** @param {{run: import("../../lib/hooks.js").Run, image: any, result: import("../../lib/hooks.js").Result, root: string | undefined}} given */
export function Strip({ run, image, result, root }) {
  const alike = [...[...image.alikeBefore].reverse(), ...image.alikeAfter];
  const failures = [["Previous failure", image.failureBefore[0]], ["Next failure", image.failureAfter[0]]].filter(([, one]) => one);
  const rows = () => alike.map(({ index, uri, correct, predicted }) => ({ index, uri, predicted: predicted.name, correct }));
  const empty = !alike.length && !failures.length && (image.label ? "No other image has this label, and the run has no other failure." : "The image has no label, and the run no failure: where images have labels, their likes and the failures stand here.");
  return html`<${Panel} id="near" title=${image.label ? html`More of <a href=${href.class(run.name, image.label.index)}>${image.label.name}</a>, and the failures beside` : "Failures beside"} result=${result} rows=${alike.length ? rows : undefined} empty=${empty}>
    ${failures.length > 0 && html`<ul class="near failures">${failures.map(([title, one]) => html`<li key=${title}><a href=${href.image(run.name, one.index, { root })}>
      <${Picture} path=${one.thumbnailUrl} says=${fileName(one.uri)} size=${64} /><span><b>${title}</b><br />${one.label.name} taken for ${one.predicted.name}</span></a></li>`)}</ul>`}
    ${alike.length > 0 && html`<ul class="near">${alike.map((one) => html`<li key=${one.index}><a href=${href.image(run.name, one.index)} title=${one.uri}>
      <${Picture} path=${one.thumbnailUrl} says=${fileName(one.uri)} size=${96} /><span class=${one.correct ? "dim" : "verdict wrong"}>${one.correct ? `image ${one.index}` : one.predicted.name}</span></a></li>`)}</ul>`}
  <//>`;
}
