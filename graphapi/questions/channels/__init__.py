"""What is asked of channels beside listings: `alike` (which channels of a layer are like one another, and in what
groups) and `peaks` (which edges lead to the places where a channel contributes most).
"""
