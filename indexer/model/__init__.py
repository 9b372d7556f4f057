"""A network: its weights, its operations, and which of its maps are the layers S1..SL.

loading      `--model` and `--weights` -> an nn.Module and the preprocessing that it wants
graph        traced once into operations that write into no recorded map
operations   what an operation is: an activation function, a window and its geometry
fields       which pixels a value of a map depends on
layers       the candidates, the default ones, and those that `--layers` names
naming       what the field calls them (conv4_3)
"""
