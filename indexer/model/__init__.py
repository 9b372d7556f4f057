"""A network: its weights, its operations, and which of its maps are the layers S1..SL.

loading      `--model` and `--weights` -> an nn.Module and the preprocessing that it wants
graph        traced once into operations that write into no recorded map
registry     what an operation is, declared once: its names, its parameters, what it does to places and values
operations   the operations of torch
geometry     where the places of a map lie in the input: strides, receptive fields; and
places       how an operation moves them
layers       the candidates, the default ones, and those that `--layers` names
naming       what the field calls them (conv4_3)
"""
