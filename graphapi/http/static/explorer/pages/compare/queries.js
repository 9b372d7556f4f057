// What the page of two runs asks.

const LAYERS = "layers { index name discriminativeDegree(minEdges: 3) { count mean histogram } }";
const PICTURED = "index uri thumbnailUrl probability label { index name } predicted { index name }";

export const COMPARED = `query Compared($a: String!, $b: String!) {
  run(name: $a) {
    weightsSha256
    compare(other: $b) {
      matched imagesCompared onlyInThis onlyInOther bothRight bothWrong onlyThisRight onlyOtherRight p
      byClass(first: 30) { totalCount nodes { class { index name } images onlyThis onlyOther accuracy otherAccuracy } }
      lost: images(outcome: ONLY_THIS, first: 12) { totalCount nodes { image { ${PICTURED} } otherImage { ${PICTURED} } } }
      gained: images(outcome: ONLY_OTHER, first: 12) { totalCount nodes { image { ${PICTURED} } otherImage { ${PICTURED} } } }
    }
  }
  other: run(name: $b) { weightsSha256 }
}`;

export const DEGREES = `query Degrees($a: String!, $b: String!) {
  a: run(name: $a) { ${LAYERS} }
  b: run(name: $b) { ${LAYERS} }
}`;
