"""The grammar of answers (docs/answers.md): plain text, choices, statements by words and by position, word lists."""
