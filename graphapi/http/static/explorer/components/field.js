// The part of a picture that a receptive field is: cut out of it, or marked on it.

import { html, useState } from "../lib/vendor.js";
import { media } from "./picture.js";

/** @typedef {{x: number, y: number, width: number, height: number}} Box in parts of the picture's width and height */

/**
 * The part alone, as large as fits into a square.
 * @param {{path: string, box: Box, says: string, size: number}} given
 */
export function Cut({ path, box, says, size }) {
  const [shape, setShape] = useState({ width: 1, height: 1 });
  const scale = size / Math.max(box.width * shape.width, box.height * shape.height);
  const [width, height] = [shape.width * scale, shape.height * scale];
  const style = {
    width: `${width}px`,
    height: `${height}px`,
    left: `${(size - box.width * width) / 2 - box.x * width}px`,
    top: `${(size - box.height * height) / 2 - box.y * height}px`,
    clipPath: `inset(${box.y * 100}% ${(1 - box.x - box.width) * 100}% ${(1 - box.y - box.height) * 100}% ${box.x * 100}%)`,
  };
  /** @param {any} event */
  const loaded = ({ target }) => target.naturalWidth && setShape({ width: target.naturalWidth, height: target.naturalHeight });
  return html`<span class="field-cut" style=${{ width: `${size}px`, height: `${size}px` }}><img src=${media(path)} alt=${says} style=${style} loading="lazy" decoding="async" onLoad=${loaded} /></span>`;
}

/**
 * The whole picture with the part's outline on it.
 * @param {{path: string, box: Box | null, says: string}} given
 */
export const Marked = ({ path, box, says }) => html`<span class="marked-picture">
  <img src=${media(path)} alt=${says} decoding="async" />
  ${box && html`<span class="field-outline" style=${{ left: `${(box.x + box.width / 2) * 100}%`, top: `${(box.y + box.height / 2) * 100}%`, width: `${box.width * 100}%`, height: `${box.height * 100}%` }}></span>`}
</span>`;
