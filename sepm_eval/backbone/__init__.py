"""What a method may ask of a model, and the machinery behind it that no architecture owns.

Letters for sizes, the same in every docstring and document:

| letter | what it counts |
|---|---|
| B | pictures or prompts in a batch; elsewhere it is also the letter of an option, "B. Anger" |
| N_v | visual tokens of a picture, as the language model receives them |
| L | positions of a sequence: tokens of the prompt and of the picture |
| R | rows of a probe: the text tokens whose attention is read |
| D | width of the language model: numbers in a token's embedding |
| d | width of one attention head |
| H | attention heads |
| H_kv | heads that keys and values have; fewer than H where query heads share them |
| V | tokens of the vocabulary |

A shape such as [B, N_v, D] gives the axes of a tensor in order. A reading holds them on the model's device; numbers
that users see (probabilities, significance) are float32.
"""
