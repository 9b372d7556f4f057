"""Reading a set of images: classes -> sources -> images -> preprocess -> loader, as data flows.

`classes` names the network's outputs, `sources` lists the images with their labels and semantic maps, `images`
decodes one file, `preprocess` makes it the network's input, `loader` does that for many in worker processes.
A listing is made of `samples`; `request` is what was asked for; `voc` and `scene_sets` know published sets, and
`context_labels` the lists of their labels. `listing` and `tables` are the folder walk and the CSV reading that all
share.
"""
