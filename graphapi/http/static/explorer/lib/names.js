// How an address names a class: by its index, or as it was typed.

/** As GraphQL takes it: an index is said to be one, since a class may be called "3". @param {string | number} text */
export const className = (text) => (/^\d+$/.test(String(text)) ? `index:${text}` : String(text));

/** The first of a class's names: "tench, Tinca tinca" is "tench". @param {string} name */
export const shortName = (name) => name.split(",")[0];
