"""A forward pass recorded so that `evidence` can pull decisions back, at little more than the cost of inference.

network     the way in: layers chosen, traced or else hooked, compared with the network itself
windows     the part of each map that a decision depends on
rules       how a gradient passes back through an operation: elementwise ones, and
spatial     those that move between places; with
products    matrix products by the faster library, and
folding     batch normalisation folded into convolutions
builder     finds the rule of each operation
blocks      concatenations of dense blocks share one gradient
compile     the operations between two layers -> a plan of rules
windowed    records a traced network and carries the plans out
hooked      any other network: recorded by hooks, decomposed by autograd over whole maps
replay      the network run from a changed map on
"""
