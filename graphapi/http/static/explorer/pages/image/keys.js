// The keyboard on the page: arrows walk, p pins, g groups, Esc clears, one thing at a time.

import { setState } from "../../lib/address.js";
import { useKeys } from "../../lib/hooks.js";
import { stepFrom } from "./tree.js";

/** @param {string} id */
const cardOf = (id) => /** @type {SVGElement | null} */ (document.querySelector(`.pyramid [data-id="${CSS.escape(id)}"]`));

/**
 * @param {import("./view.js").View | null} view @param {{pins: string[]}} choice @param {Record<string, string>} state of the address
 */
export function useImageKeys(view, choice, state) {
  /** @param {KeyboardEvent} event */
  const walk = (event) => {
    const inside = event.target instanceof Element ? event.target.closest(".pyramid .card") : null;
    const from = view?.focused?.id ?? inside?.getAttribute("data-id") ?? null;
    if (!view || state.large || (from === null && !inside)) return; // arrows scroll the page
    const to = stepFrom(view.rows, view.links, from, event.key);
    event.preventDefault();
    if (!to) return;
    setState({ focus: to }, { replace: true });
    requestAnimationFrame(() => {
      const card = cardOf(to);
      card?.focus({ preventScroll: true });
      card?.querySelector(".ground")?.scrollIntoView({ block: "nearest" }); // the card's own box counts what its pictures hide
    });
  };
  const pin = () => {
    if (view?.focused) togglePins(choice.pins, view.focused.members.map((node) => node.key));
  };
  const clear = () => {
    if (state.large) setState({ large: null }, { replace: true });
    else if (state.focus) setState({ focus: null });
    else setState({ pins: null, groups: null });
  };
  /** @param {KeyboardEvent} event */
  const group = (event) => {
    const input = /** @type {HTMLInputElement | null} */ (document.getElementById("group-name"));
    if (!input) return;
    event.preventDefault();
    input.focus();
  };
  useKeys({ ArrowUp: walk, ArrowDown: walk, ArrowLeft: walk, ArrowRight: walk, p: pin, g: group, Escape: clear });
}

/** Pin what is not pinned, or unpin where all is. @param {string[]} pins @param {string[]} keys */
export function togglePins(pins, keys) {
  const all = keys.every((key) => pins.includes(key));
  const others = pins.filter((key) => !keys.includes(key));
  setState({ pins: (all ? others : [...others, ...keys]).join(",") });
}
