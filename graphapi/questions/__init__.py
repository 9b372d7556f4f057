"""What is asked of the database: statements with the classes of their rows, and what is made of those rows.

Listings, which `store.paging` turns into pages: `support` (channels, images, confusions), `context`, `verification` (by
the rows of `verified`).
One decision: `evidence`, `overlaps`. Many: `class_graph`, `profiles`, `degrees`; of channels
alone, in the room `channels`: `alike` and `peaks`.
Sets of decisions: `cohorts`, compared by `contrast` with `statistics`; the wrong ones: `failures`, in groups by `modes`
with `clusters`; before and after a change of the images: `peak_shift`.
"""
