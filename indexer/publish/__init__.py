"""Run folders become the next version of a database; nothing here imports torch.

publish       `evigraph publish`
manage        migrate, list and delete runs, roll back
replacement   the one way in which the served file changes
build         the file of the next version: base rows, rollups, checks
load          a run's rows, from its folder or from the version before
versions      the files behind a database's path, and the pointer
"""
