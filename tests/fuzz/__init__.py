"""Random networks and folders of data: each is indexed exactly, or refused in one line."""
