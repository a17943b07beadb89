"""The interface between methods and models, and the code behind it that no single architecture owns.

To read a prompt is to prefill it, and the result is a reading; to write is to decode greedily from its KV cache. A
probe asks for the attention of some text tokens while a prompt is read.

These letters stand for sizes in every docstring and document:

| letter | what it counts |
|---|---|
| B | pictures or prompts in a batch; elsewhere it is also the letter of an option, "B. Anger" |
| N_v, n | visual tokens of a picture, as the language model receives them; n_i for picture i of a batch |
| L | positions of a sequence: text tokens and visual tokens |
| R | query rows of a probe: the text tokens whose attention is read |
| D | width of the language model: numbers in a token's embedding |
| C | width of the vision tower |
| d | width of one attention head |
| H | attention heads |
| H_kv | key and value heads; fewer than H where query heads share them (grouped-query attention) |
| V | tokens of the vocabulary |

A shape such as [B, N_v, D] gives the axes of a tensor in order. A reading holds its tensors on the model's device;
numbers that users see (probabilities, significance) are float32.
"""
