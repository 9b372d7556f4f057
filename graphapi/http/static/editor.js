// Starts GraphiQL on the service that this page came from, with the example written into the page.
"use strict";

// An address may bring a query along: #query=...&variables=...
const brought = new URLSearchParams(location.hash.slice(1));
const example = brought.get("query") || document.getElementById("example").value;
const fetcher = GraphiQL.createFetcher({ url: "graphql" });
const root = ReactDOM.createRoot(document.getElementById("editor"));
root.render(React.createElement(GraphiQL, { fetcher, defaultQuery: example, query: brought.get("query") ?? undefined, variables: brought.get("variables") ?? undefined, shouldPersistHeaders: false }));
