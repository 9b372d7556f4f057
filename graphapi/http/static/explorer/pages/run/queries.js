// What the page of a run asks.

export const RUN = `query RunPage($run: String!) {
  run(name: $run) {
    name model weightsSha256 dataset topN maxNodes maskThreshold imageCount skippedCount decisionCount edgeCount accuracy createdAt indexerVersion
    layers {
      index name module channels height width stride receptiveField
      discriminativeDegree(minEdges: 3) { count mean median above histogram }
      profile { decompositions shares residual }
      positiveProfile { decompositions barren meanPositive }
    }
    worst: classes(orderBy: ACCURACY, first: 8) { totalCount nodes { index name imageCount accuracy } }
    skippedImages(first: 20) { totalCount nodes { uri reason } }
  }
}`;

/** Tests of the evidence of each layer, by alias; a layer cannot be a variable of an alias. @param {string[]} layers */
export const tests = (layers) => `query RunTests($run: String!) {
  run(name: $run) {
${layers.map((layer, place) => `    layer${place}: verification(layer: ${JSON.stringify(layer)}) {
      method fill tested tooLarge corrected flipped correctedRate meanLogitChange
      control { tested corrected flipped correctedRate meanLogitChange onlyEvidence onlyControl p }
    }`).join("\n")}
  }
}`;
