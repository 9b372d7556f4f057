"""Types of what is asked of channels beside listings: `alike` (likeness and groups) and `peaks`."""
