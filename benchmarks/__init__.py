"""What the course costs in time and memory, beside the article's own way: `make bench`.

`article` is the article's way, written afresh from its description; `rows` sets ours beside it.
Times alternate in one process (`measure`); memory is that of a process of its own (`memory`). Stop
whatever else computes on the machine while it runs.
"""
