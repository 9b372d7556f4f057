// Images in a strip: each with what it is and what it was taken for, a link to its page.

import { href } from "../lib/address.js";
import { fileName, percent } from "../lib/format.js";
import { shortName } from "../lib/names.js";
import { html } from "../lib/vendor.js";
import { Picture } from "./picture.js";

/**
 * @param {object} given
 * @param {string} given.run
 * @param {any[]} given.images with index, uri, thumbnailUrl, probability, label and predicted
 * @param {Record<string, unknown>} [given.state] of the image's page
 * @param {number} [given.size] px of a side
 */
export function Images({ run, images, state, size = 96 }) {
  return html`<ul class="strip">${images.map((image) => {
    const wrong = image.label && image.label.index !== image.predicted.index;
    return html`<li key=${image.index} style=${{ width: `${size}px` }}><a href=${href.image(run, image.index, state)} title=${image.uri}>
      <${Picture} path=${image.thumbnailUrl} says=${fileName(image.uri)} size=${size} />
      <span class=${wrong ? "taken wrong" : "taken"}>${wrong ? html`${shortName(image.label.name)} → ` : ""}${shortName(image.predicted.name)} <span class="dim">${percent(image.probability, 0)}</span></span></a></li>`;
  })}</ul>`;
}
