// A word of the method, with its sentence on hover and on focus.

import { html } from "../lib/vendor.js";
import { WORDS } from "../lib/words.js";

/** @param {{word: string, children?: unknown}} given word of lib/words.js */
export const Term = ({ word, children }) => html`<span class="term" tabindex="0" onMouseEnter=${inside} onFocus=${inside}>${children ?? word}<span class="term-says" role="tooltip">${WORDS[word]}</span></span>`;

/** Move the sentence to where the window shows it whole. @param {{currentTarget: HTMLElement}} event */
function inside({ currentTarget }) {
  const says = /** @type {HTMLElement} */ (currentTarget.lastElementChild);
  says.style.marginLeft = "0";
  const over = says.getBoundingClientRect().right - document.documentElement.clientWidth + 8;
  if (over > 0) says.style.marginLeft = `${-over}px`;
}
