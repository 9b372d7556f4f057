"""Is the evidence the cause? The network decides again without it, and without something that is no evidence.

means       what a channel is set to where its evidence is taken away
fills       what hides a region of the input, and what the network says of that alone
regions     regions of the input, and those that a test is compared with
controls    channels that a test is compared with
disturb     takes a region of the input or a channel of a map away
verifier    chooses the evidence, tests it, and gives the rows of `verification`
"""
