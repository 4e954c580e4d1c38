"""A Pygments lexer, so that documents and terminals show Tile in colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pygments.lexer import (
    RegexLexer,
    bygroups,  # pyright: ignore[reportUnknownVariableType]  # Pygments is typed in part
    words,
)
from pygments.token import (
    Comment,
    Keyword,
    Name,
    Number,
    Operator,
    Punctuation,
    Text,
    Whitespace,
)

_DTYPES = "bool|[iu](?:8|16|32|64)|b?f16|f32|f64"
_TAIL = r"[A-Za-z0-9_]*'?"


class TileLexer(RegexLexer):
    """Tile: tensors start with a capital letter, indices and functions with a small one."""

    name = "Tile"
    aliases: ClassVar[Sequence[str]] = ["tile"]
    filenames: ClassVar[Sequence[str]] = ["*.tile"]
    url = "https://github.com/plaidml/plaidml"

    tokens: ClassVar[dict[str, list[Any]]] = {
        "root": [
            (r"\s+", Whitespace),
            (r"//[^\n]*", Comment.Single),
            (r"/\*[\s\S]*?\*/", Comment.Multiline),
            (words(("function", "default", "no_defract"), prefix=r"\b", suffix=r"\b"), Keyword),
            (rf"(:)(\s*)({_DTYPES})\b", bygroups(Punctuation, Whitespace, Keyword.Type)),
            (rf"#[A-Za-z_]{_TAIL}", Name),
            (rf"\$[A-Za-z_]{_TAIL}", Name.Variable),
            (rf"[a-z]{_TAIL}(?=\s*\()", Name.Function),
            (rf"[A-Z]{_TAIL}", Name),
            (rf"[a-z]{_TAIL}", Name.Variable),
            (r"(\d+\.\d*|\.\d+)([eE][-+]?\d+)?|\d+[eE][-+]?\d+", Number.Float),
            (r"\d+", Number.Integer),
            (r"->|[=!<>]=|<<|>>|[-+*/%=<>?&|^~]", Operator),
            (r"[][(){},:;.]", Punctuation),
            (r".", Text),
        ],
    }
