"""The method, gAP with hierarchical decomposition, as functions on tensors; how a network is recorded is the engine's.

decisions    the values that are decomposed, and their activation maps A
record       one recorded pass: the features F, and for each pair of layers what yields A
roots        what the network decided, and which logits are explained
decompose    one decision over the channels of the layer below: alpha, share, peak
hierarchy    a root down to S1: kept channels become the next decisions
context      the label of the semantic map that an edge's mask overlaps most
overlaps     channels of one decision whose masks are alike
"""
