"""Reading a set of images: what `--data` names -> a sorted listing -> batches of the network's input.

classes class_files    the network's outputs: index, key and name; and the files that name them
labels                 which class a folder is
sources                `--data KIND:PLACE` -> the layout that lists it; layouts register themselves
folder imagefolder     layouts: any images; a folder a class;
lists voc scene_sets   CSV files; PASCAL VOC and Context; ADE20K and COCO-Stuff
samples request        a listing (`DataSource`), and what it is asked for
formats listing tables what layouts share: types of files, walks of folders, text and CSV files,
context_labels         and the labels of semantic maps
images                 a file -> 8-bit RGB, or the reason why it is skipped
channels               the same for networks of other channels
preprocess             resize, crop, normalise: an image, and its map likewise
loader                 many of them, in worker processes, in batches
"""
