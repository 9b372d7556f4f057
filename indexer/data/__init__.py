"""Reading a set of images: classes -> sources -> images -> preprocess -> loader, as data flows.

`classes` names the network's outputs, `sources` lists the images with their labels and semantic maps, `images`
decodes one file, `preprocess` makes it the network's input, `loader` does that for many in worker processes.
`listing` and `tables` are the folder walk and the CSV reading that the sources share.
"""
