"""The grammar of answers (docs/answers.md): plain text, words, choices, statements, and what stands where."""
