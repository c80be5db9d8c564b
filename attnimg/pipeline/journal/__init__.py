"""The journal of a run, from which an interrupted run is resumed."""
