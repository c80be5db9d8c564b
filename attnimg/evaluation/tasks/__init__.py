"""How the models of each task are measured."""
