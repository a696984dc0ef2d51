"""Plays a day of faults in simulated time, for the router and for its peers."""
