"""A network as it is given: its operations, and which of its maps are the layers S1..SL.

wrappers     what is put around a network, and outputs that hold more than logits
graph        traced once into operations that write into no recorded map:
tracing      forward is run with
standins     that know the values of the run's input, and
plain        takes off and patches what has no part in what it computes
registry     what an operation is, declared once: its names, its parameters, what it does to places and values
operations   the operations of torch that windows decompose;
observing    what autograd saw of the network as it is: the maps that every path runs through
geometry     where the places of a map lie in the input: strides, receptive fields, boxes; from
places       how an operation moves the stride and the field, and
tracking     which pixels each value depends on,
reach        as rows and columns of the input;
taps         which places a window reads,
movements    the kinds of operations by what they do to places
rearranging  the other operations of torch: those that only move values, those that mix a whole map
layers       the candidates, the default ones, and those that `--layers` names
naming       what the field calls them (conv4_3)
"""
