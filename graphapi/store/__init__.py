"""The file that is served.

`live` opens it and moves to a new version; `catalog` is what a version keeps in memory, and `names` finds things there.
`session` is what one request may use, under the limits of `settings`; `errors` is how a refusal looks.
`sql` runs a statement and types its rows, of which `rows` has those of tables; `matching` writes conditions on keys,
`paging` pages of a listing, `cursors` where a page begins; `bounds` checks the arguments of a request.
"""
