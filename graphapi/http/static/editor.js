// Starts GraphiQL on the service that this page came from, with the example written into the page.
"use strict";

const example = document.getElementById("example").value;
const fetcher = GraphiQL.createFetcher({ url: "graphql" });
const root = ReactDOM.createRoot(document.getElementById("editor"));
root.render(React.createElement(GraphiQL, { fetcher, defaultQuery: example, shouldPersistHeaders: false }));
