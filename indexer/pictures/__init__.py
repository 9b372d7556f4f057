"""What does a channel look at? Bytes that are kept beside the rows; the service draws from them.

thumbnails    what the network saw of an image
maps          the activation maps of a decision's most important edges
guided        guided backpropagation at the strongest peaks, once every shard is there
"""
