// What the page of two runs asks.

import { IMAGE_FIELDS } from "../../components/strip.js";

const LAYERS = "layers { index name discriminativeDegree(minEdges: 3) { count mean histogram } }";

export const COMPARED = `query Compared($a: String!, $b: String!) {
  run(name: $a) {
    weightsSha256
    compare(other: $b) {
      matched imagesCompared onlyInThis onlyInOther bothRight bothWrong onlyThisRight onlyOtherRight p
      byClass(first: 30) { totalCount nodes { class { index name } images onlyThis onlyOther accuracy otherAccuracy } }
      lost: images(outcome: ONLY_THIS, first: 12) { totalCount nodes { image { ${IMAGE_FIELDS} } otherImage { ${IMAGE_FIELDS} } } }
      gained: images(outcome: ONLY_OTHER, first: 12) { totalCount nodes { image { ${IMAGE_FIELDS} } otherImage { ${IMAGE_FIELDS} } } }
    }
  }
  other: run(name: $b) { weightsSha256 }
}`;

export const DEGREES = `query Degrees($a: String!, $b: String!) {
  a: run(name: $a) { ${LAYERS} }
  b: run(name: $b) { ${LAYERS} }
}`;
