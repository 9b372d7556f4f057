// State that components share: answers of the service, keys that are pressed, the run that is shown.

import { ask } from "./graphql.js";
import { createContext, useContext, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor.js";

/**
 * @typedef {object} Result of a query
 * @property {any} data null until it is there; the last answer stays while the next is asked for
 * @property {Error & {code?: string} | null} error
 * @property {boolean} loading
 * @property {string} text @property {Record<string, any>} variables what was asked
 * @property {() => void} retry
 */

const RETRY_MS = 3000;

/**
 * Ask a query, and again whenever its variables change.
 * @param {string | null} text null: nothing is asked yet @param {Record<string, any>} [variables]
 * @returns {Result}
 */
export function useQuery(text, variables = {}) {
  const key = text === null ? "" : JSON.stringify([text, variables]);
  const [tries, setTries] = useState(0);
  const [shown, setShown] = useState(/** @type {{key: string, text: string | null, data: any, error: any}} */ ({ key: "", text: null, data: null, error: null }));
  useEffect(() => {
    if (text === null) return;
    let wanted = true;
    let timer = 0;
    ask(text, variables).then(
      (data) => wanted && setShown({ key, text, data, error: null }),
      (error) => {
        if (!wanted) return;
        setShown({ key, text, data: null, error });
        if (error.code === "OFFLINE") timer = setTimeout(() => setTries((/** @type {number} */ count) => count + 1), RETRY_MS);
      },
    );
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [key, tries]);
  const current = shown.key === key;
  return {
    data: shown.text === text ? shown.data : null, // the data of another query has another shape
    error: current ? shown.error : null,
    loading: text !== null && !current,
    text: text ?? "",
    variables,
    retry: () => {
      setShown({ key: "", text: null, data: null, error: null });
      setTries(tries + 1);
    },
  };
}

/**
 * Ask for the pages of a connection, one after the other, as they are wanted.
 * @param {string | null} text with a variable `after` @param {Record<string, any>} variables
 * @param {(data: any) => any} connection with nodes, totalCount and pageInfo { hasNextPage endCursor }
 * @returns {{result: Result, rows: any[], total: number, more: (() => void) | null}} more: null where that is all
 */
export function usePages(text, variables, connection) {
  const key = JSON.stringify([text, variables]);
  const [place, setPlace] = useState({ key, after: null, before: /** @type {any[]} */ ([]) });
  const { after, before } = place.key === key ? place : { after: null, before: NONE };
  const result = useQuery(text, { ...variables, after });
  const page = result.data && connection(result.data);
  const shown = useRef(/** @type {any[]} */ (NONE));
  // While a page is on its way the rows stay that were shown before it.
  shown.current = useMemo(() => (page && !result.loading ? [...before, ...page.nodes] : shown.current), [result.data, result.loading, key, after]);
  const rows = page ? shown.current : NONE;
  const more = page?.pageInfo.hasNextPage ? () => !result.loading && setPlace({ key, after: page.pageInfo.endCursor, before: rows }) : null;
  return { result, rows, total: page?.totalCount ?? 0, more };
}

/** @type {any[]} */
const NONE = [];

/**
 * A value once it has been the same for a while: what is typed or dragged, before it is asked for.
 * @template T @param {T} value @param {number} [ms] @returns {T}
 */
export function useSettled(value, ms = 120) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

/**
 * The width of an element in px, 0 before it is there.
 * @returns {[{current: HTMLElement | null}, number]} the element's ref, and its width
 */
export function useWidth() {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const element = place.current;
    if (!element) return;
    const watch = new ResizeObserver(() => setWidth(Math.floor(element.clientWidth)));
    watch.observe(element);
    setWidth(Math.floor(element.clientWidth));
    return () => watch.disconnect();
  }, []);
  return [place, width];
}

/**
 * Call functions by the name of the key that is pressed, unless something is being typed.
 * @param {Record<string, (event: KeyboardEvent) => void>} actions by KeyboardEvent.key
 */
export function useKeys(actions) {
  const current = useRef(actions);
  current.current = actions;
  useEffect(() => {
    /** @param {KeyboardEvent} event */
    const pressed = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const typing = event.target instanceof HTMLElement && event.target.matches("input, textarea, select");
      if (typing && event.key !== "Escape") return;
      current.current[event.key]?.(event);
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
}

/** @typedef {{index: number, name: string, module: string, channels: number, height: number, width: number}} Layer */
/** @typedef {{name: string, model: string, dataset: string, imageCount: number, skippedCount: number, edgeCount: number, decisionCount: number, topN: number, accuracy: number | null, isDefault: boolean, createdAt: string, layers: Layer[]}} Run */

/** All runs of the database, the newest first; what the frame knows. */
export const RunsContext = createContext(/** @type {Run[]} */ ([]));

/** @returns {Run[]} */
export const useRuns = () => useContext(RunsContext);

/** The run of an address, or undefined where the database has none of that name. @param {string} name @returns {Run | undefined} */
export const useRun = (name) => useRuns().find((run) => run.name === name);

/** The layers that hold evidence, lowest first: all but the logits. @param {Run} run */
export const evidenceLayers = (run) => run.layers.slice(0, -1);

/**
 * The layer of the page's state, or the one below the highest, as the paper's own example conv4_3 of VGG-16.
 * @param {Run} run @param {string | undefined} name
 */
export function chosenLayer(run, name) {
  const layers = evidenceLayers(run);
  return layers.find((layer) => layer.name === name) ?? layers[Math.max(0, layers.length - 2)];
}
