// The vendored libraries, which are classic scripts, as modules see them. vendor/vendor.json has their versions.

const { preact, preactHooks, htm, d3, Plot } = /** @type {any} */ (globalThis);

export const { render, createContext, Fragment } = preact;
export const { useState, useEffect, useLayoutEffect, useMemo, useRef, useContext, useCallback } = preactHooks;
/** Markup as Preact nodes: html`<p>${text}</p>`. Values are text or nodes, never parsed as markup. */
export const html = htm.bind(preact.h);
export { d3, Plot };
