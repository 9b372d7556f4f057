// What the page of classes asks.

import { IMAGE_FIELDS } from "../../components/strip.js";

export const CLASSES = `query Classes($run: String!, $search: String, $orderBy: ClassOrder, $after: String) {
  run(name: $run) {
    classes(search: $search, orderBy: $orderBy, first: 100, after: $after) {
      totalCount
      pageInfo { hasNextPage endCursor }
      nodes {
        index key name imageCount accuracy
        predicted: decisionCount
        confusedWith(first: 1) { nodes { images predicted { index name } } }
      }
    }
  }
}`;

export const CELL = `query ConfusedImages($run: String!, $label: String!, $predicted: String!, $first: Int!) {
  run(name: $run) {
    label: class(name: $label) { index name imageCount }
    predicted: class(name: $predicted) { index name }
    images(label: $label, predicted: $predicted, first: $first) {
      totalCount
      nodes { ${IMAGE_FIELDS} }
    }
  }
}`;
