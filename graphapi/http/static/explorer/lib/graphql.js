// The service, asked over its public GraphQL. Answers are kept by the version of the database that gave them.

/** @typedef {{text: string, variables: Record<string, any>}} Query */

/** What went wrong, for a person: `code` is GraphQL's extensions.code, or OFFLINE. */
export class QueryError extends Error {
  /** @param {string} message @param {string} code */
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

const KEPT = 200;
/** @type {Map<string, Promise<any>>} */
const answers = new Map();
/** @type {string | null} */
let version = null;
/** @type {Set<() => void>} */
const listeners = new Set();

/**
 * Call back once, when the service answers from a newer version of the database than the page has shown.
 * @param {() => void} listener
 */
export function onNewerVersion(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Forget all answers: the next ones may be of a newer version. */
export function forget() {
  answers.clear();
  version = null;
}

/**
 * The data of an answer; one that was given already is not asked for again.
 * @param {string} text GraphQL @param {Record<string, any>} [variables]
 * @returns {Promise<any>} rejects with a QueryError
 */
export function ask(text, variables = {}) {
  const key = JSON.stringify([text, variables]);
  const known = answers.get(key);
  if (known) {
    answers.delete(key);
    answers.set(key, known); // the last used is forgotten last
    return known;
  }
  const answer = request(text, variables);
  answers.set(key, answer);
  answer.catch(() => answers.delete(key));
  if (answers.size > KEPT) answers.delete(/** @type {string} */ (answers.keys().next().value));
  return answer;
}

/** @param {string} text @param {Record<string, any>} variables */
async function request(text, variables) {
  let response;
  try {
    response = await fetch("graphql", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ query: text, variables }),
    });
  } catch {
    throw new QueryError("the service does not answer; is `evigraph serve` still running?", "OFFLINE");
  }
  let body;
  try {
    body = await response.json();
  } catch {
    throw new QueryError(`the service answered ${response.status} without JSON`, "OFFLINE");
  }
  // A failed part would leave a hole that looks like "none": the first error stands for the whole answer.
  if (body.errors) throw new QueryError(body.errors[0].message, body.errors[0].extensions?.code ?? "ERROR");
  const answered = response.headers.get("Evigraph-Database");
  if (answered && version && answered !== version) {
    for (const listener of listeners) listener();
    // Never mixed pages: what is on the screen is of the version before.
    throw new QueryError("the database was published anew; reload the page to see it", "NEWER");
  }
  version ??= answered;
  return body.data;
}
