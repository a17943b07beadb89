"""Removing visual tokens between the layers of a model that runs its own forward pass.

The model's own loop over its layers continues with rows of full length. Once tokens are removed, a hook before each
layer passes it only the tokens that are left, with their mask and positions, and a hook after the layer writes its
output back to the columns of these tokens. So whatever a family does between layers, such as Qwen3-VL's adding of
deep-stack features, is done to the right tokens, and the values of removed tokens are never used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from sepm_eval.backbone import pruning
from sepm_eval.backbone.interface import Cut, Prune
from sepm_eval.backbone.probe import aimed
from sepm_eval.backbone.pruning import Rows, causal, positions
from sepm_eval.backbone.writing import CACHE
from sepm_eval.model_wrappers._hf.attention import Watch
from sepm_eval.model_wrappers._hf.reading import FamilyWritingState


class Pruning:
    """One reading in which a ``Prune`` or ``Cut`` removes tokens.

    Attributes:
        watch: the request for attention during the reading.
        attended: result: for each layer [B, L'] bool, which positions of its cache are not padding.
        counts: result: for each layer, how many visual tokens of each row it was given.
    """

    def __init__(self, decoder: Any, prune: Cut | Prune, rows: Rows, rating: Sequence[Sequence[int]]) -> None:
        """Prepare a reading.

        Args:
            decoder: a transformers decoder, all of whose layers have plain causal attention.
            prune: decides what is removed.
            rows: the padded prompts.
            rating: for each row, which tokens of the text after the picture rate its visual tokens.

        Raises:
            ValueError: the model has none of the layers after which ``prune`` acts.
        """
        self._decoder, self._prune, self._rows, self._rating = decoder, prune, rows, rating
        self._layers = pruning.layers_of(prune, len(decoder.layers))
        self._ahead = isinstance(prune, Cut) and prune.ahead
        self._whole: Tensor | None = None  # the running layer's input at full length
        self._thinned = False
        self.watch = Watch()
        self.attended: list[Tensor] = []
        self.counts: list[tuple[int, ...]] = []

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Remove tokens in the forward pass inside the ``with`` block."""
        with _hooked(self._decoder.layers, self._enter, self._leave):
            yield

    def _enter(self, index: int, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Before a layer, remove tokens if the previous layer is one after which to prune; pass on those left."""
        self._whole, home = args[0], self._rows.attended.device
        rows = self._rows.to(args[0].device)
        hidden = args[0]
        if self._thinned:
            hidden = nn.functional.pad(hidden, (0, 0, 1, 0)).gather(1, _wide(rows.columns, hidden))
        if index - 1 in self._layers:
            rating = self._rate(index, layer, rows, hidden) if self._ahead else self.watch.found[index - 1]
            attention = rating.to(hidden.device)
            rows, hidden = rows.pruned(self._prune, index - 1, len(self._decoder.layers), hidden, attention)
            self._rows, self._thinned = rows.to(home), True
        self._aim(index if index in self._layers and not self._ahead else None)
        self.attended.append(self._rows.attended)
        self.counts.append(rows.counts)
        return ((hidden, *args[1:]), kwargs | self._around(rows, hidden)) if self._thinned else None

    def _leave(self, index: int, layer: Any, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        """After a layer, write its output back to the columns of its tokens."""
        if not self._thinned or self._whole is None:
            return None
        whole = nn.functional.pad(self._whole.to(output), (0, 0, 1, 0))
        return whole.scatter(1, _wide(self._rows.columns.to(output.device), output), output)[:, 1:]

    def _rate(self, index: int, layer: Any, rows: Rows, hidden: Tensor) -> Tensor:
        """The attention that a layer would have, [B, L'], by running only its attention, without the cache."""
        self._aim(index)
        normed = layer.input_layernorm(hidden)
        layer.self_attn(hidden_states=normed, **self._around(rows, hidden), **{CACHE: None})
        return self.watch.found[index]

    def _aim(self, index: int | None) -> None:
        """Request the attention of one layer, or of none."""
        length = self._rows.attended.shape[1]
        self.watch.layers = frozenset(() if index is None else (index,))
        self.watch.rows, self.watch.valid = aimed(self._rating, self._rows.behind, length)

    def _around(self, rows: Rows, hidden: Tensor) -> dict[str, Any]:
        """The mask and positions for calling a layer, or its attention alone."""
        places = rows.places.permute(2, 0, 1) if rows.places.ndim == 3 else rows.places
        return {
            "attention_mask": causal(rows.attended, hidden.shape[1]),
            "position_ids": positions(rows.attended),
            "position_embeddings": self._decoder.rotary_emb(hidden, position_ids=places),
        }


@contextmanager
def going_on(decoder: Any, end: FamilyWritingState) -> Iterator[None]:
    """Give each layer the mask of its own cache, in the decoding step inside the ``with`` block.

    Args:
        decoder: a transformers decoder.
        end: the end of the reading, which has already grown by the new token.
    """

    def enter(index: int, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        attended = end.attended[index].to(args[0].device)
        changed = {"attention_mask": causal(attended, 1)}
        if end.renumbered:
            place = positions(attended)[:, -1:]
            embedded = decoder.rotary_emb(args[0], position_ids=place)
            changed |= {"position_ids": place, "position_embeddings": embedded}
        return args, kwargs | changed

    with _hooked(decoder.layers, enter):
        yield


@contextmanager
def _hooked(
    layers: nn.ModuleList, enter: Callable[..., Any], leave: Callable[..., Any] | None = None
) -> Iterator[None]:
    """Call ``enter`` before each layer and ``leave`` after it, both with its index, inside the ``with`` block."""
    handles = []
    try:
        for index, layer in enumerate(layers):
            handles.append(layer.register_forward_pre_hook(partial(enter, index), with_kwargs=True))
            if leave is not None:
                handles.append(layer.register_forward_hook(partial(leave, index)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _wide(columns: Tensor, states: Tensor) -> Tensor:
    """Expand columns, [B, L'], to indices for gathering from or scattering to states [B, L, D]."""
    return columns[..., None].expand(-1, -1, states.shape[-1])
