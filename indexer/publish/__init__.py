"""Run folders become the next version of a database, beside the served one, which stays as it is until the swap.

publish        the way in: verify the folders, build, swap
build          the new file: migrated, loaded, rolled up, checked
load           the rows of a run folder, or of an older version
replacement    how a served version is replaced, by whatever command
versions       the files, and the pointer that says which is served
manage         migrate, list and delete runs, roll back
"""
