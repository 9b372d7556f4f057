// What the page of a class asks. A class goes by "index:3", since names need not tell classes apart.

import { IMAGE_FIELDS } from "../../components/strip.js";

export const CLASS = `query ClassOf($run: String!, $class: String!, $first: Int!) {
  run(name: $run) {
    class(name: $class) {
      index key name imageCount accuracy
      predicted: decisionCount
      correct: decisionCount(outcome: CORRECT)
      wrong: decisionCount(outcome: WRONG)
      missed: decisionCount(role: LABEL)
      confusedWith(first: 20) { totalCount nodes { images predicted { index name } } }
      confusedFrom(first: 20) { totalCount nodes { images label { index name imageCount } } }
    }
    right: images(label: $class, outcome: CORRECT, first: $first) { totalCount nodes { ${IMAGE_FIELDS} } }
    missed: images(label: $class, outcome: WRONG, first: $first) { totalCount nodes { ${IMAGE_FIELDS} } }
    taken: images(predicted: $class, outcome: WRONG, first: $first) { totalCount nodes { ${IMAGE_FIELDS} } }
    predicted: images(predicted: $class, first: $first) { nodes { ${IMAGE_FIELDS} } }
  }
}`;

export const SUPPORT = `query ChannelsOfClass($run: String!, $class: String!, $layer: String!, $role: DecisionRole, $outcome: Outcome, $orderBy: SupportOrder, $after: String) {
  run(name: $run) {
    channelSupport(layer: $layer, class: $class, role: $role, outcome: $outcome, orderBy: $orderBy, first: 10, after: $after) {
      totalCount
      pageInfo { hasNextPage endCursor }
      nodes {
        decisions roots rate low high edges meanShare meanImportance
        channel {
          index discriminativeDegree
          peaks(class: $class, role: $role, first: 4) { nodes { y x contribution cropUrl image { index uri } } }
        }
      }
    }
  }
}`;

export const CONTEXT = `query ContextOfClass($run: String!, $class: String!, $layer: String!, $role: DecisionRole, $outcome: Outcome, $after: String) {
  run(name: $run) {
    any: contextLabels(first: 1) { nodes { label } }
    contextLabels(class: $class, layer: $layer, role: $role, outcome: $outcome, first: 10, after: $after) {
      totalCount
      pageInfo { hasNextPage endCursor }
      nodes {
        label edges decisions rate meanIou baseRate presence lift
        peak { images rate baseRate excess lift low high chanceLift q }
      }
    }
  }
}`;

export const LOCALIZING = `query ChannelsOnLabel($run: String!, $class: String!, $layer: String!, $role: DecisionRole, $label: String!) {
  run(name: $run) {
    channelsLocalizing(label: $label, layer: $layer, class: $class, role: $role, first: 8) {
      totalCount minEdges
      nodes {
        edges decisions
        peak { images rate baseRate lift low high }
        channel {
          index
          peaks(class: $class, role: $role, first: 4) { nodes { y x cropUrl image { index uri } } }
        }
      }
    }
  }
}`;

export const GRAPH = `query EvidenceOfClass($run: String!, $class: String!, $role: DecisionRole, $outcome: Outcome, $minRate: Float!, $nodes: Int!) {
  run(name: $run) {
    evidenceGraph(class: $class, role: $role, outcome: $outcome, minRate: $minRate, maxNodesPerLayer: $nodes) {
      decisions truncated
      class { name }
      nodes { layer channel decisions importance throughflow }
      edges { target source decisions share }
      paths(first: 30) { share nodes }
    }
  }
}`;
