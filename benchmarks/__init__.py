"""What the course costs in time and memory, beside the article's own way: `make bench`.

Each row of the table sets the article's way (`article`, written afresh from its description) beside
ours (`rows`). Times alternate in one process (`measure`); memory is that of a process of its own
(`memory`). Stop whatever else computes on the machine while it runs.
"""
