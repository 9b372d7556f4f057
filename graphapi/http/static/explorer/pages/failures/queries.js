// What the page of failures asks.

import { IMAGE_FIELDS } from "../../components/strip.js";

const CLASS = "index name";

export const IMAGES = `query FailedImages($run: String!, $label: String, $predicted: String) {
  run(name: $run) {
    images(label: $label, predicted: $predicted, outcome: WRONG, first: 24) { totalCount nodes { ${IMAGE_FIELDS} } }
  }
}`;

export const CONTRAST = `query Contrast($run: String!, $layer: String!, $a: CohortInput!, $b: CohortInput!, $of: ContrastItem!, $root: ContrastRoot) {
  run(name: $run) {
    contrast(layer: $layer, a: $a, b: $b, of: $of, root: $root, first: 100) {
      totalCount decisionsA decisionsB root comparable reason rootClassDistance discoveries sharedImages
      rootClassesA(first: 3) { class { ${CLASS} } decisions }
      rootClassesB(first: 3) { class { ${CLASS} } decisions }
      edges { cursor }
      nodes {
        countA rateA countB rateB logOddsRatio low high p q contextLabel
        channel { index layer { name } }
        target { index layer { name } }
      }
    }
  }
}`;

/** Examples of the one item after a cursor. */
export const EXAMPLES = `query ContrastExamples($run: String!, $layer: String!, $a: CohortInput!, $b: CohortInput!, $of: ContrastItem!, $root: ContrastRoot, $after: String) {
  run(name: $run) {
    contrast(layer: $layer, a: $a, b: $b, of: $of, root: $root, first: 1, after: $after) {
      nodes {
        examplesA(first: 4) { role class { ${CLASS} } image { ${IMAGE_FIELDS} } }
        examplesB(first: 4) { role class { ${CLASS} } image { ${IMAGE_FIELDS} } }
      }
    }
  }
}`;

export const MODES = `query Modes($run: String!, $layer: String!, $label: String, $predicted: String) {
  run(name: $run) {
    failureModes(layer: $layer, label: $label, predicted: $predicted) {
      failures truncated unassigned right comparable reason silhouette
      modes {
        size
        confusions(first: 3) { label { ${CLASS} } predicted { ${CLASS} } images }
        channels(first: 4) { count rate otherRate rightRate logOddsRatio channel { index layer { name } peaks(first: 3) { nodes { cropUrl } } } }
        contextLabels(first: 3) { label rate otherRate }
        examples(first: 6) { role image { ${IMAGE_FIELDS} } }
      }
    }
  }
}`;

/** The names of the classes that the address speaks of. */
export const NAMED = `query NamedClasses($run: String!, $label: String!, $predicted: String!, $withLabel: Boolean!, $withPredicted: Boolean!) {
  run(name: $run) {
    label: class(name: $label) @include(if: $withLabel) { ${CLASS} imageCount accuracy }
    predicted: class(name: $predicted) @include(if: $withPredicted) { ${CLASS} imageCount accuracy }
  }
}`;
