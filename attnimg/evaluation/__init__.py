"""How good a model is, measured the same way while it trains and when it is done."""
