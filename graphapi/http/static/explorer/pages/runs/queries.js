// What the page of all runs asks.

export const RUNS = `query RunsTable {
  runs(first: 100) {
    nodes { name model dataset imageCount skippedCount decisionCount edgeCount topN accuracy isDefault createdAt layers { name } }
  }
}`;
