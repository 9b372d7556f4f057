// A word of the method, with its sentence on hover and on focus.

import { html, useState } from "../lib/vendor.js";
import { WORDS } from "../lib/words.js";

const WIDTH = 260;
const BESIDE = 12;

/** @param {{word: string, children?: unknown}} given word of lib/words.js */
export function Term({ word, children }) {
  const [place, setPlace] = useState({ left: "0px", top: "0px" });
  /** Within the window, whatever cuts off what is around the word. @param {any} event */
  const put = (event) => {
    const { left, bottom } = event.currentTarget.getBoundingClientRect();
    setPlace({ left: `${Math.max(BESIDE, Math.min(left, document.documentElement.clientWidth - WIDTH - BESIDE))}px`, top: `${bottom + 4}px` });
  };
  return html`<span class="term" tabindex="0" onMouseEnter=${put} onFocus=${put}>${children ?? word}<span class="term-says" role="tooltip" style=${place}>${WORDS[word]}</span></span>`;
}
