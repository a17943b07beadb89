"""lmms-eval: its plug-in, its model entries, and plans run through its own evaluation."""
