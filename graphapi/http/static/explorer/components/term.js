// A word of the method, with its sentence on hover and on focus.

import { html } from "../lib/vendor.js";
import { WORDS } from "../lib/words.js";

/** @param {{word: string, children?: unknown}} given word of lib/words.js */
export const Term = ({ word, children }) => html`<span class="term" tabindex="0" aria-description=${WORDS[word]}>${children ?? word}<span class="term-says" aria-hidden="true">${WORDS[word]}</span></span>`;
