"""GraphQL's types: `query` is the root and `run` what hangs on it.

Base: `base` has the Node interface, connections and arguments, `ids` the global ids, `nodes` makes objects of rows, and
`loaders` asks for many objects in one statement.
What there is: `layers_classes`, `image` (with its decisions and their evidence), `channel`.
What is asked of it, each with a module of `questions` and a page of docs: `context`, `verification`, `class_graph`,
`contrast`, `failures`, `modes`, `peak_shift`, `profiles` (with degrees, and overlap groups); of channels alone, in the
room `channels`: `alike` with `groups`, `peaks`.
"""
