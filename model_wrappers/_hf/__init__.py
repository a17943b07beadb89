"""The parts of the backbone that serves every family of transformers' image-and-text models (see ``hf``)."""
