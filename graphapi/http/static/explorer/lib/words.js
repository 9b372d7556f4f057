// The words of the method, each in a sentence. DESIGN: docs/design.md is the contract.

/** @type {Record<string, string>} */
export const WORDS = {
  share: "A channel's contribution to a decision, divided by all positive contributions to that decision.",
  "mean share": "The share of the channel's edges, averaged over them.",
  importance: "1 at the class; of any other node, the sum over the edges into it of the upper node's importance times the edge's share.",
  contribution: "How much of a decision a channel gives: the mean over its map of gradient times feature (Eq. 4 of the paper).",
  peak: "The place of the map where gradient times feature is largest (Eq. 5).",
  residual: "The part of the positive contributions that the kept channels leave out.",
  degree: "Discriminative degree: of the channel's edges of rank below 3, the part that belongs to its most frequent class. 1: it serves one class alone.",
  lift: "How many times more evidence lies on a label than its area explains. 1: anywhere alike.",
  root: "The decision that is explained: the logit of one class for one image.",
  rate: "Decisions that hold the channel, of all decisions for the class.",
  decision: "The logit of one class for one image: of the predicted class, and of the label where that is another.",
  edge: "Evidence from a channel of one layer to a channel of the layer above, in one decision.",
  feature: "The value of the layer's map at the peak.",
  activation: "Gradient times feature at the peak.",
  "context label": "The label of the semantic map that the evidence lies on.",
  accuracy: "Rightly predicted images of those with a label.",
  control: "The same done to what is no evidence of the decision: what a change of that size does by itself.",
  "removing it": "The channel's map is set to the channel's mean over the data, and the network decides again.",
  "hiding it": "The receptive field of the channel at its peak is filled in the image, and the network decides again.",
  q: "False discovery rate (Benjamini-Hochberg) over all items tested.",
  effect: "Natural log of the odds in a over those in b: 0 where both have it alike.",
  "receptive field": "The pixels that a place of the map depends on.",
  "evidence set": "The channels of a layer that a decision holds.",
};
