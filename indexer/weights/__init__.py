"""`--model` and `--weights`: a network with its weights, however they were saved.

loading      `--model` and `--weights` -> an nn.Module and the preprocessing that it wants
checkpoints  the state dicts in a file of weights, whatever it is; read by
unpickling   without running what it asks for
fitting      which of them is the network's, and under which names; of these
prefixes     what wrappers put around them, and
versions     what they were called in earlier versions
published    which published weights a torchvision file is, and what they go with
advice       what to do where none fits
usable       whether a network can be looked into at all
downloads    fail soon where there is no network
"""
