// What the page of a channel asks: what does not depend on the class it is looked at for, what does, and who is like it.

export const CHANNEL = `query Channel($run: String!, $layer: String!, $index: Int!, $classes: Int!) {
  run(name: $run) {
    channel(layer: $layer, index: $index) {
      discriminativeDegree
      degreeRank { edges lower channels }
      layer { discriminativeDegree(bins: 20) { count median histogram } }
      support(first: $classes) {
        totalCount
        nodes { class { index name } decisions rate edges meanShare meanImportance }
      }
      strongest: peaks(first: 64) { nodes { cropUrl image { uri label { index name } predicted { index name } } } }
    }
    labelled: contextLabels(orderBy: EDGES, first: 1) { nodes { label } }
    labelledHere: contextLabels(layer: $layer, orderBy: EDGES, first: 1) { nodes { label } }
    tested: verification(layer: $layer, outcome: null) { tested }
    channelSupport(layer: $layer, first: 50) { totalCount nodes { channel { index } decisions rate } }
  }
}`;

export const OF_CLASS = `query ChannelEvidence($run: String!, $layer: String!, $index: Int!, $class: String, $name: String!, $isChosen: Boolean!, $patches: Int!, $context: Int!, $feeds: Int!, $fed: Int!) {
  run(name: $run) {
    chosen: class(name: $name) @include(if: $isChosen) { index name }
    channel(layer: $layer, index: $index) {
      peaks(class: $class, first: $patches) {
        totalCount
        nodes {
          y x contribution share feature activation cropUrl mapUrl guidedUrl
          box { x y width height }
          image { index uri thumbnailUrl correct label { index name } predicted { index name } }
          decision { role class { index name } }
        }
      }
      contextLabels(class: $class, first: $context) {
        totalCount
        nodes {
          label edges rate meanIou lift
          peak { rate baseRate lift low high q images }
          activation { rate lift low high q }
        }
      }
      supporters(class: $class, first: $feeds) { ...Side }
      supports(class: $class, first: $fed) { ...Side }
      verification(class: $class, outcome: WRONG) {
        method fill tested tooLarge corrected correctedRate toEmptyPrediction meanLogitChange
        control { tested corrected correctedRate onlyEvidence onlyControl p }
      }
    }
  }
}
fragment Side on ChannelEdgeConnection {
  totalCount
  nodes {
    decisions rate edges meanShare meanImportance
    channel { index layer { name } class { index name } peaks(first: 1) { nodes { cropUrl } } }
  }
}`;

export const ALIKE = `query ChannelAlike($run: String!, $layer: String!, $index: Int!, $by: AlikeBy!, $threshold: Float!, $minEdges: Int!) {
  run(name: $run) {
    channel(layer: $layer, index: $index) {
      alike(by: $by, minEdges: $minEdges, first: 10) {
        likeness overlaps edges
        kept { index }
        channel { index discriminativeDegree peaks(first: 3) { nodes { cropUrl } } }
      }
      group(by: $by, threshold: $threshold, minEdges: $minEdges) {
        size least mean
        channels(first: 20) { index peaks(first: 1) { nodes { cropUrl } } }
      }
    }
  }
}`;
