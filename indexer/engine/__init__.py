"""A forward pass recorded so that `evidence` can pull decisions back, at little more than the cost of inference.

network     the way in: layers chosen, traced or else hooked, compared with the network itself
heads       what the network's output is, and where its logits are; with
trail       its last calls, watched as they are made, and
head_graph  its trace, up to the logits
windows     the part of each map that a decision depends on
rules       how a gradient passes back through an operation:
elementwise each value by itself,
channels    between the channels of a place,
spatial     between places; with
products    matrix products by the faster library, and
folding     batch normalisation folded into convolutions
builder     finds the rules of each call
blocks      concatenations of dense blocks share one gradient
compile     the operations between two layers -> a plan of rules
forward     the forward pass that is recorded
windowed    records a traced network and carries the plans out
two_classes a network of one output, as one of two classes
hooked      any other network: recorded by hooks, decomposed by autograd over whole maps
"""
