"""The tiny trained LLaVA and the emoji pictures that ship with the package. How they were made: demo/README.md."""

from pathlib import Path

MODEL = Path(__file__).with_name("model")
"""A LLaVA checkpoint in the llava-hf layout, which ``pretrained=demo`` loads."""

PICTURES = Path(__file__).with_name("pictures")
"""The test pictures of task ``emotion_demo`` and their list, items.jsonl."""
