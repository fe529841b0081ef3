"""The night of each mirror: plan, guard, fetch, seal; and the run that holds the nights together."""
