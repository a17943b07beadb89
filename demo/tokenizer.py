"""A small tokenizer of Llama's kind: byte-pair merges inside words, bytes for what is not in the vocabulary.

The prompt must give the same ids when each side of ``<image>`` is tokenised alone (as the original LLaVA code does)
and when the whole prompt is; so nothing splits the text beforehand, and a space is part of the following word.
"""

import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SPACE = "▁"
SPECIAL = ("<unk>", "<s>", "</s>")
BYTES = tuple(f"<0x{value:02X}>" for value in range(256))
PRINTABLE = [chr(code) for code in range(33, 127)]


def train_tokenizer(lines: list[str], size: int) -> Tokenizer:
    """Train on ``lines``; ``<image>`` and ``<pad>`` get the two ids after the base vocabulary of ``size``."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"<image>|\n"), "removed"),
            pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="first"),
            pre_tokenizers.Split(Regex(r"[^▁A-Za-z]"), "isolated"),
        ]
    )
    learner.train_from_iterator(
        lines,
        trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=[*SPECIAL, *BYTES],
            initial_alphabet=[SPACE, *PRINTABLE],
            limit_alphabet=len(PRINTABLE) + 1,
            show_progress=False,
        ),
    )
    return llama_style(learner)


def llama_style(learner: Tokenizer) -> Tokenizer:
    """The learnt merges with the normaliser, post-processor and decoder of Llama's ``tokenizer.json``."""
    state = json.loads(learner.to_str())["model"]
    merges = [tuple(pair) for pair in state["merges"]]
    tokenizer = Tokenizer(
        models.BPE(vocab=state["vocab"], merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in (*SPECIAL, "<image>", "<pad>")])
    start = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", start)]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer
