# ruff: noqa: RUF001 - this file has to contain characters that look like ASCII
"""Reduce a model's output to the plain text from which its answer is parsed: no thinking, special tokens or markup.

Every step looks at each character a bounded number of times, so the time is linear in the length of the text.
"""

from __future__ import annotations

import re

# Marks of thinking in the chat templates of DeepSeek, Qwen and GLM; Kimi; Magistral; Seed.
_THINK_OPEN = re.compile(r"<(?:seed:)?(?:think|thinking|thought)>|◁think▷|\[THINK\]", re.IGNORECASE)
_THINK_CLOSE = re.compile(r"</(?:seed:)?(?:think|thinking|thought)>|◁/think▷|\[/THINK\]", re.IGNORECASE)
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<]{0,40}<\|message\|>")
# Reasoning that a prompt asks for in tags of its own, separate from the tags of the answer.
_ASIDE_OPEN = re.compile(r"<(reasoning|reason|rationale|explanation|analysis|scratchpad)>", re.IGNORECASE)
_ASIDE_CLOSE = re.compile(r"</(?:reasoning|reason|rationale|explanation|analysis|scratchpad)>", re.IGNORECASE)

# Any of these ends the model's turn; the text after it does not belong to the answer.
_END_OF_TURN = re.compile(
    r"</s>|<\|(?:im_end|eot_id|end|endoftext|end_of_text|end▁of▁sentence|return|user|eom_id|end_of_turn)\|>"
    r"|<eos>|<end_of_turn>|<turn\|>|<end_of_utterance>|\[EOS\]|^\s*(?:USER|Human|### ?Human|### ?User)\s*:",
    re.MULTILINE,
)
_SPECIAL = re.compile(r"<\|[^|<>\n]{1,40}\|>|<(?:s|bos|pad|unk|image|start_of_turn|\|turn)>|\[/?INST\]")
_ROLE = re.compile(r"\A\s*(?:assistant|model|gpt)\s*(?::|\n)", re.IGNORECASE)

_ANSWER_OPEN = re.compile(r"<(?:final[_ ]?answer|final|answer|ans|choice|option)>", re.IGNORECASE)
_ANSWER_CLOSE = re.compile(r"</(?:final[_ ]?answer|final|answer|ans|choice|option)>", re.IGNORECASE)
_BLOCK_TAG = re.compile(r"</?(?:br|p|div|li|ul|ol|h[1-6]|tr|td)\b[^<>\n]{0,40}>", re.IGNORECASE)
_TAG = re.compile(r"</?(?:b|i|u|em|strong|span|code|mark|font|sub|sup)\b[^<>\n]{0,40}>")
_NEXT_KEY = re.compile(r"""["'\d\]]\s{0,9},\s{0,9}(?=["'][A-Za-z][A-Za-z_ ]{0,30}["']\s{0,9}:)""")
_LATEX = re.compile(r"\\[A-Za-z]{1,20}|\\[()\[\],; ]|\$")
_FENCE = re.compile(r"^[ \t]*```[^\n`]{0,20}$", re.MULTILINE)
_BULLET = re.compile(r"^[ \t]*(?:[*+•·▪●‣◦-][ \t]+|[•·▪●‣◦])(?=\S)", re.MULTILINE)
_RULE = re.compile(r"^[ \t]*(?:-{3,}|={3,}|\*{3,})[ \t]*$", re.MULTILINE)
_EXAMPLE = re.compile(r"\be\.g\b\.?", re.IGNORECASE)
_VERSUS = re.compile(r"\bvs\.", re.IGNORECASE)
_INITIALS = re.compile(r"\b([A-Za-z])\.(?=[A-Za-z]\.)")  # "E.g.", "U.S."
_PLURAL = re.compile(r"(?<=[a-z])\((?:s|es)\)")

# Phrases that contain a word of negation or condition, but mean neither.
_NEUTRAL = re.compile(
    r"\b(?:without (?:a |any )?(?:doubt|question)|(?:there is )?no doubt(?: that)?"
    r"|if (?:i|we) (?:had|have|must|were|was)(?: to)?(?: (?:choose|pick|select|guess|answer|decide|say|forced))?"
    r"(?: (?:one|just one|only one|a single one|to))*|if (?:forced|pressed|required)(?: to (?:choose|pick|guess))?)\b",
    re.IGNORECASE,
)

_CHARACTERS = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},  # full-width forms
    **dict.fromkeys(map(ord, '\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\ufe0f\u00ad"“”„‟«»「」『』″`*#'), None),
    **dict.fromkeys(map(ord, "’‘‛′´"), "'"),
    **dict.fromkeys(map(ord, "‐‑‒–—―−"), "-"),
    **dict.fromkeys(map(ord, "\u00a0\u3000_~"), " "),
    **dict.fromkeys(map(ord, "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"), "\n"),
    **dict.fromkeys(map(ord, "【〔［[{〈《"), "("),
    **dict.fromkeys(map(ord, "】〕］]}〉》"), ")"),
    **dict.fromkeys(map(ord, "→⇒➡∴"), "="),
    **dict.fromkeys(map(ord, "❌✗✘🚫❎✖"), " not "),
    ord("。"): ".",
    ord("、"): ", ",
    ord("…"): "...",
}
_FULL_WIDTH_BAR = str.maketrans({"｜": "|", "＜": "<", "＞": ">"})

# Chinese answers are read by the same rules: words of the grammar are first translated, the longest match first.
_CHINESE = {
    "答案": "answer",
    "选项": "option",
    "字母": "letter",
    "选择": "choose",
    "选": "choose",
    "情感": "emotion",
    "情绪": "emotion",
    "感情": "emotion",
    "描述": "description",
    "图片": "image",
    "图像": "image",
    "图中": "in image",
    "画面": "image",
    "应该是": "is",
    "应该为": "is",
    "应该": "should",
    "应为": "is",
    "应是": "is",
    "应": "should",
    "就是": "is",
    "是": "is",
    "为": "is",
    "正确": "correct",
    "最佳": "best",
    "最好": "best",
    "最合适": "best",
    "最符合": "best",
    "最贴切": "best",
    "最恰当": "best",
    "最可能": "most likely",
    "最有可能": "most likely",
    "最": "most",
    "最不": "least",
    "最不可能": "least likely",
    "不可能": "not",
    "不是": "is not",
    "并非": "is not",
    "不": "not",
    "没": "not",
    "无法": "cannot",
    "无": "no",
    "非": "not",
    "未": "not",
    "别": "not",
    "排除": "exclude",
    "错误": "wrong",
    "而不是": "rather than",
    "而非": "rather than",
    "或者": "or",
    "或是": "or",
    "或": "or",
    "还是": "or",
    "要么": "either",
    "以及": "and",
    "和": "and",
    "与": "and",
    "及": "and",
    "都": "both",
    "可能": "maybe",
    "也许": "maybe",
    "或许": "maybe",
    "大概": "maybe",
    "第二": "second",
    "其次": "second",
    "其他": "other",
    "另一": "other",
    "如果": "if",
    "若": "if",
    "是否": "whether",
    "因此": "so",
    "所以": "so",
    "因而": "so",
    "于是": "so",
    "综上": "so",
    "故": "so",
    "因为": "because",
    "由于": "because",
    "但是": "but",
    "可是": "but",
    "但": "but",
    "然而": "but",
    "我认为": "I think",
    "我觉得": "I think",
    "以为": "thought",
    "认为": "think",
    "作为": "as",
    "行为": "behaviour",
    "我": "I",
    "这是": "this is",
    "的": "",
    "所": "",
    "对应": "matches",
    "属于": "matches",
}
_CHINESE_WORDS = re.compile("|".join(sorted(_CHINESE, key=len, reverse=True)))
_CHINESE_EDGE = re.compile(r"(?<=[\u4e00-\u9fff])(?=[A-Za-z])|(?<=[A-Za-z])(?=[\u4e00-\u9fff])")


def plain(text: str) -> str:
    """Reduce what a model wrote to the plain text from which the answer is parsed.

    Bullets become "•", all brackets become round ones, quotes are removed, a boxed or tagged answer becomes
    "answer: ...", and Chinese words of the grammar are translated to English.

    Returns:
        The plain text; empty if the model was still thinking when it stopped.
    """
    text = text.strip().translate(_FULL_WIDTH_BAR)
    text = _without_asides(_after_thinking(text))
    text = next((piece for piece in _END_OF_TURN.split(text) if _SPECIAL.sub("", piece).strip()), "")
    text = _ROLE.sub("", _SPECIAL.sub(" ", text))
    text = _ANSWER_CLOSE.sub("\n", _ANSWER_OPEN.sub("\nanswer: ", text))
    text = _TAG.sub("", _BLOCK_TAG.sub("\n", text))
    text = _LATEX.sub(" ", text.replace("\\boxed", " answer: "))
    text = _BULLET.sub("• ", _RULE.sub("", _FENCE.sub("", _NEXT_KEY.sub("\n", text))))
    text = _CHINESE_EDGE.sub(" ", text.translate(_CHARACTERS))
    text = _CHINESE_WORDS.sub(lambda found: f" {_CHINESE[found[0]]} ", text)
    return _NEUTRAL.sub(
        " ", _INITIALS.sub(r"\1", _EXAMPLE.sub(" example ", _VERSUS.sub("vs", _PLURAL.sub("", text))))
    ).strip()


def _after_thinking(text: str) -> str:
    """The text after the last end of thinking; empty if thinking began and did not end."""
    channels = list(_CHANNEL.finditer(text))
    if channels:
        text = text[channels[-1].end() :] if channels[-1][1] == "final" else ""
    text = text[max((closed.end() for closed in _THINK_CLOSE.finditer(text)), default=0) :]
    return "" if _THINK_OPEN.search(text) else text


def _without_asides(text: str) -> str:
    kept, position = [], 0
    while (opened := _ASIDE_OPEN.search(text, position)) is not None:
        kept.append(text[position : opened.start()])
        closed = _ASIDE_CLOSE.search(text, opened.end())
        position = closed.end() if closed else len(text)
    return "\n".join([*kept, text[position:]])
