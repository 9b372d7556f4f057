// What the page of an image asks: all of it in one request.

export const IMAGE = `query Image($run: String!, $index: Int!, $top: Int) {
  run(name: $run) {
    image(index: $index) {
      ...shown
      id
      label { index name }
      labels { index name }
      decisions {
        id role logit probability cutNodeCount cutImportance
        class { index name }
        evidence(top: $top) {
          truncated
          nodes { layer channel y x feature importance cropUrl box { x y width height } }
          edges {
            target source contribution share rank activation importance
            contextLabel contextIou contextLabelAtPeak contextActivationShare mapUrl
            overlaps { channel contribution iou }
            verification {
              method fill logitChange labelLogitChange corrected area predicted { name }
              control { logitChange labelLogitChange corrected predicted { name } }
            }
          }
        }
      }
      alikeBefore: preceding(first: 4, sameLabel: true) { ...shown }
      alikeAfter: following(first: 8, sameLabel: true) { ...shown }
      failureBefore: preceding(outcome: WRONG) { ...shown label { index name } }
      failureAfter: following(outcome: WRONG) { ...shown label { index name } }
    }
  }
}
fragment shown on Image { index uri probability correct thumbnailUrl predicted { index name } }`;

/** The index of an image that is named by its global id. */
export const OF_ID = `query ImageOfId($id: ID!) {
  node(id: $id) { __typename ... on Image { index } }
}`;
