"""A stand-in for bitsandbytes, which is not installed for the tests: it leaves every weight as it is."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers.quantizers.base import HfQuantizer

KEYS = ("bitsandbytes_4bit", "bitsandbytes_8bit")  # where transformers looks for it


class Untouched(HfQuantizer):
    """What it was asked is remembered."""

    requires_calibration = False
    asked: ClassVar[list[Any]] = []

    def validate_environment(self, *args, **kwargs):
        pass

    def _process_model_before_weight_loading(self, model, **kwargs):
        self.asked.append((type(model).__name__, self.quantization_config))

    def _process_model_after_weight_loading(self, model, **kwargs):
        return model

    @property
    def is_trainable(self):
        return False

    def is_serializable(self, *args, **kwargs):
        return False
