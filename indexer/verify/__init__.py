"""Is the evidence the cause? The network decides again without it, and without something that is no evidence.

means       what a channel is set to where its evidence is taken away
disturb     takes a region of the input or a channel of a map away
controls    chooses what the same is done to for comparison
verifier    chooses the evidence, tests it, and gives the rows of `verification`
"""
