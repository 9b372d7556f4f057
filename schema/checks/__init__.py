"""What holds in every published database.

checks            runs the rules, and compares each rollup with its declaration
invariants        the rules on runs, images, decisions and tests
edge_invariants   those on edges, asked of a part of a run at a time
"""
