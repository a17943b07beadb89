"""lmms-eval: our plug-in for it, our model entries in it, and plans that run through its own evaluation."""
