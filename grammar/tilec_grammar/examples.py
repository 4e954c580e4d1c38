"""Broken programs and what to say about them.

A row holds texts that go wrong in one way, the message, and a line of help. The compiler runs each
text to the place where it stops being Tile; a program that stops in the same state of the grammar
and at the same token gets the row's message. The texts are tests as well: what stands between
``«`` and ``»`` is what the message must underline. Where nothing stands between them, the message
points behind the last good token.

``{found}`` in a message stands for the token that was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Example:
    """One way to go wrong.

    Attributes:
        broken: Programs, each with its fault marked.
        message: What is wrong, in the words of the language.
        help: What to do.
        exact: The row holds only where the whole construct up to the fault is that of a text;
            otherwise for everything that may stand in its place.
    """

    broken: tuple[str, ...]
    message: str
    help: str | None = None
    exact: bool = False

    def programs(self) -> tuple[tuple[str, int, int], ...]:
        """Each text without its marks, and the characters that the message must underline."""
        found: list[tuple[str, int, int]] = []
        for text in self.broken:
            head, rest = text.split("«")
            fault, tail = rest.split("»")
            found.append((head + fault + tail, len(head), len(head) + len(fault)))
        return tuple(found)


EXAMPLES: Final = (
    # Headers
    Example(
        ("function (A) «(»B) { B = A; }", "function f(A) «{» B = A; }"),
        "the outputs are missing: `->` and their names follow the inputs",
        "function (A[N], B[N]) -> (C) { ... }",
    ),
    Example(
        ("function (A) -> «B» { B = A; }",),
        "the outputs stand in parentheses",
        "write `-> (B)`, also for a single output",
    ),
    Example(
        ("function (A) -> («)» { B = A; }",),
        "a function has at least one output",
        "name what the body computes: `-> (C)`",
    ),
    Example(
        ("function (A) -> (C«[»N]) { C = A; }",),
        "an output is given by its name alone",
        "its sizes stand where it is computed: `C[i : N] = ...`",
    ),
    Example(
        ("function (A) -> (C«:» f32) { C = A; }",),
        "an output has no dtype of its own",
        "convert what is computed: `C = as_float(X, 32)`",
    ),
    Example(
        ("function A«[»N]) -> (B) { B = A; }", "function f «A») -> (B) { B = A; }"),
        "the inputs stand in parentheses",
        "function (A[N], B[N]) -> (C) { ... }",
    ),
    Example(
        ("function («a»[N]) -> (B) { B = a; }", "function (A, «b»[N]) -> (B) { B = A; }"),
        "an input is named in upper case",
        "write `A`, or `#a` to keep the name in lower case",
    ),
    Example(
        ("function (A[«n»]) -> (B) { B = A; }", "function (A[N, «m»]) -> (B) { B = A; }"),
        "a size is named in upper case",
        "write `A[N]`; a number stands for itself: `A[3]`",
    ),
    Example(
        (
            "function (A[N «+» 1]) -> (B) { B = A; }",
            "function (A[N «-» 1]) -> (B) { B = A; }",
            "function (A[N «*» 2]) -> (B) { B = A; }",
            "function (A[2«*»N]) -> (B) { B = A; }",
            "function (A[2 «N»]) -> (B) { B = A; }",
        ),
        "an axis of an input has a name or a number, no expression",
        "name it, and compute with the name where it is used",
    ),
    Example(
        ("function (A[N]: «F») -> (B) { B = A; }",),
        "a dtype is written in lower case",
        "the dtypes are bool i8 i16 i32 i64 u8 u16 u32 u64 f16 bf16 f32 f64",
    ),
    Example(
        ("function (A) -> (B) «B» = A; ", "function (A) -> (B)«» "),
        "the body of a function stands in braces",
        "function (A) -> (B) { B = A; }",
    ),
    Example(
        ("function (A) -> (B) { B = A; «function» (C) -> (D) { D = C; }",),
        "`}` is missing before the next function",
        "functions do not nest: close the one above first",
    ),
    Example(
        ("function (A) -> (B) { B = A; }«;»",),
        "`;` stands behind a function",
        "delete it: only statements are separated by `;`",
    ),
    Example(
        ("function (A) -> (B) { B = A; } «}»", "B = A«}»", "B = A;«}»", "C[] = +(A[i])«}»"),
        "`}` closes nothing",
        "delete it, or write the header that belongs to it: function (A) -> (B) { ... }",
    ),
    Example(
        ("B = A; «function» f(X) -> (Y) { Y = X; }", "B = A\n«function» f(X) -> (Y) { Y = X; }"),
        "functions stand in front of bare statements",
        "move the statements to the end, or give them a header of their own",
    ),
    # Statements
    Example(
        (
            "A = B«»\nC = D",
            "C[i : N] = +(A[i])«»\nD = C",
            "C[i : N] = +(A[i]), i < 2«»\nD = C",
            "function (A) -> (C) { B = A«»\nC = B; }",
            "function (A) -> (C) { C[i : N] = +(A[i])«»\nD = C; }",
            "function (A) -> (C) { C[i : N] = +(A[i]) no_defract«»\nD = C; }",
            "function (A) -> (C) { C[i : N] = +(A[i]), i < 2«»\nD = C; }",
        ),
        "`;` is missing behind the statement",
        "statements are separated by `;`",
    ),
    Example(
        (
            "A = B «C»",
            "C[i : N] = +(A[i]) «D» = C",
            "C[i : N] = +(A[i]), i < N «D» = C",
            "function (A) -> (C) { B = A «C» = B; }",
            "function (A) -> (C) { C[i : N] = +(A[i]) «D» = C; }",
            "function (A) -> (C) { C[i : N] = +(A[i]), i < N «D» = C; }",
        ),
        "neither an operator nor `;` stands in front of `{found}`",
        "statements are separated by `;`, and a product is written `B * C`",
    ),
    Example(
        ("A = B «default» C", "A = B «no_defract»", "function (A) -> (B) { B = A «default» C; }"),
        "`{found}` belongs to an aggregation",
        "a copy that falls back on D is `C[i : N] = =(A[i]) default D`",
    ),
    Example(
        ("A = B;«;» C = D", "A = B; «;»", "function (A) -> (B) { B = A;«;» }"),
        "a statement is missing in front of `;`",
        "delete one `;`",
    ),
    Example(
        ("«c» = A", "B = A; «c» = A", "function (A) -> (C) { «c» = A; }"),
        "a statement begins with the name of its result, in upper case",
        "write `C = ...`, or `#c` to keep the name in lower case",
    ),
    Example(
        ("«(»A + B)", "«2» * A", "«+»(A[i])", "«-»A", "B = A; «+»(A[i])"),
        "a statement gives its result a name",
        "C = ... for elements, or C[i : N] = +(...) for an aggregation",
    ),
    Example(
        ("A«»", "B = A; C«»", "A«;»", "A «+» B", "A«,» B"),
        "a statement gives its result a name",
        "C = ... for elements, or C[i : N] = +(...) for an aggregation",
        exact=True,
    ),
    Example(
        ("A = B «=» C",),
        "`=` stands inside an expression",
        "`==` compares; a second result is a statement of its own",
    ),
    # Outputs
    Example(
        ("C[i : N«;» M] = +(A[i])", "C[i, j «;» N] = +(A[i])"),
        "`;` stands inside the brackets of an output",
        "indices and sizes are divided by `:`, as in `C[i, j : M, N]`",
    ),
    Example(
        ("C[i : N «=» +(A[i])", "C[i, j «=» +(A[i, j])"),
        "`]` is missing behind the output",
        "C[i, j : M, N] = ...",
    ),
    Example(
        ("C[: «N»] = +(A[i])",),
        "sizes without indices",
        "write `C[i : N]`, or `C[]` for a single number",
    ),
    Example(
        ("C[i : N «:» M] = +(A[i])",),
        "a second `:` in an output",
        "the indices come first, then all sizes: `C[i, j : M, N]`",
    ),
    # Aggregations
    Example(
        (
            "C[i : N] = «A»[i]",
            "C[i : N] = «2»",
            "C[i : N] = «(»A[i])",
            "C[i] = «-»A[i]",
        ),
        "an aggregation is missing behind `=`",
        "`+(...)` sums, `*` multiplies, `>` takes the largest, `<` the smallest, `=` assigns: "
        "`C[i : N] = =(A[i])`",
    ),
    Example(
        ("C[i : N] = «sum»(A[i, j])", "C[] = «max»(A[i])"),
        "`{found}` is no aggregation",
        "`+(...)` sums, `*` multiplies, `>` takes the largest, `<` the smallest, `=` assigns",
    ),
    Example(
        (
            "C[i : N] = +«A»[i]",
            "C[i : N] = > «A»[i]",
            "C[i : N] = + «2»",
            "C[i : N] = + «sum»(A[i])",
        ),
        "the operands of an aggregation stand in parentheses",
        "C[i : N] = +(A[i])",
    ),
    Example(
        ("C[i : N] = +(«)»",),
        "an aggregation of nothing",
        "name what is aggregated: `+(A[i, k] * B[k, j])`",
    ),
    Example(
        ("C = «+»(A[i])", "C = «*»(A[i])", "C = «>»(A[i])", "C = «<»(A[i])", "C = «=»(A[i])"),
        "an aggregation writes to an output in brackets",
        "write `C[] = ...` for a single number, `C[i : N] = ...` for a vector",
    ),
    Example(
        ("C[i : N] = +(A[i]«,» B[i])",),
        "an aggregation takes one expression",
        "combine the operands: `+(A[i] * B[i])`",
    ),
    Example(
        ("C[i : N] = +(A[i]) «i» < 2", "C[i : N] = +(A[i]), i < N «j» < 3"),
        "`,` is missing in front of the constraint",
        "C[i : N] = +(A[i + j]), j < 2;",
        exact=True,
    ),
    Example(
        ("C[i : N] = +(A[i]), i «<=» k", "C[i : N] = +(A[i]), i + 1 «<=» 3"),
        "a constraint is written with `<`",
        "`k <= i` is `i - k < N`, for `0 <=` is understood; `i <= 3` is `i < 4`",
    ),
    Example(
        (
            "C[i : N] = +(A[i]), i «>» k",
            "C[i : N] = +(A[i]), i «>=» 0",
            "C[i : N] = +(A[i]), 2*i «>=» k",
        ),
        "a constraint is written with `<`",
        "`i > k` is `i - k - 1 < N` and `i >= k` is `i - k < N`, for `0 <=` is understood",
    ),
    Example(
        ("C[i : N] = +(A[i]), i «==» k", "C[i : N] = +(A[i]), i «!=» k"),
        "a constraint is written with `<`",
        "`i == k` is `i - k < 1`, or use one index in both places",
    ),
    Example(
        ("C[i : N] = +(A[i]), i«»", "C[i : N] = +(A[i]), j«;» D = C"),
        "a constraint needs a bound",
        "C[i : N] = +(A[i + j]), j < 2;",
    ),
    Example(
        (
            "C[i : N] = =(A[i]) default D, «i» < 2",
            "C[i : N] = =(A[i]) no_defract, «i» < 2",
        ),
        "constraints stand in front of `default` and `no_defract`",
        "C[i : N] = =(A[i]), i < 2 default D;",
    ),
    Example(
        ("C[i : N] = =(A[i]) default «0»", "C[i : N] = =(A[i]) default «1.5»"),
        "`default` takes the name of a tensor",
        "give the number a name and a shape first: `D[i : N] = =(Z[])`",
    ),
    Example(
        ("C[i : N] = =(A[i]) default «d»",),
        "`default` takes the name of a tensor, in upper case",
        "C[i : N] = =(A[i]) default D;",
    ),
    # Expressions
    Example(
        ("A = B == C «==» D", "A = B != C «==» D", "C[] = +(A[i] == B[i] «==» D[i])"),
        "comparisons do not chain",
        "put one of them in parentheses: `(B == C) == D`",
    ),
    Example(
        ("A = B < C «<» D", "A = B <= C «<» D", "A = B < C «<=» D", "A = B > C «>=» D"),
        "comparisons do not chain",
        "write `(A < B) & (B < C)`",
    ),
    Example(
        ("A = B * «+»C", "A = B + «+»C", "A = («+»B)", "A = f(«+»B)"),
        "there is no unary `+`",
        "delete it",
    ),
    Example(
        ("A = 2 «B»", "A = 2.5 «B»", "A = B * 2 «C»", "C[] = +(2 «A»[i])"),
        "an operator is missing in front of `{found}`",
        "only an index may follow a number directly: `2i`, but `2 * A`",
    ),
    Example(
        ("A = B ? C«»", "A = B ? C«;» D = A", "A = (B ? C«)»", "A = f(B ? C«)»"),
        "a conditional needs `:` and what holds otherwise",
        "test ? then : otherwise",
    ),
    Example(
        ("C[] = +(A[i]«[»j])", "C[] = +(A[i, j]«[»k] * B[k])"),
        "all indices of a tensor stand in one pair of brackets",
        "write `A[i, j]`",
    ),
    Example(
        (
            "A = f(B, «)»",
            "C[] = +(A[i, «]»)",
            "C[i, «]» = +(A[i])",
            "C[i : N, «]» = +(A[i])",
            "function (A, «)» -> (B) { B = A; }",
            "function (A) -> (B, «)» { B = A; }",
            "function (A[N, «]») -> (B) { B = A; }",
        ),
        "something is missing behind the comma",
        "delete the comma, or go on with the list",
    ),
    Example(
        ("A = f(«,» B)", "C[] = +(A[«,» i])", "C[«,» j] = +(A[i])"),
        "something is missing in front of the comma",
        "delete the comma, or begin the list",
    ),
    Example(
        ("[[hint(«)»]] C = A", "[[hint(«1»)]] C = A"),
        "the arguments of an attribute are names",
        "[[name]] or [[name(a, B)]]",
    ),
    Example(
        ("[[«Hint»]] C = A",),
        "the name of an attribute is written in lower case",
        "[[name]] or [[name(a, B)]]",
    ),
)

CHARACTERS: Final = {
    "!": ("`!` is no operator", "`!=` compares; `logical_not(X)` negates"),
    "@": ("`@` is no operator", "a matrix product is `C[i, j : M, N] = +(A[i, k] * B[k, j])`"),
    "'": ("a prime stands behind a name, once", "`A'` is a name like `A`"),
    '"': ("there are no strings in Tile", None),
    "_": ("a name begins with a letter", "`#_x` is the escaped form of `_x`"),
    "#": ("`#` escapes a name and needs one", "comments begin with `//`"),
    "$": ("`$` escapes an index and needs a name", "`$X` is an index called X"),
    ".": ("a `.` belongs into a number", "`0.5`, `.5` and `1.` are numbers"),
    "/": ("the comment that begins here is never closed", "close it with `*/`"),
    "\\": ("lines need no `\\` to go on", "a statement ends at `;`"),
    "\ufeff": ("a byte order mark inside the text", "delete it"),
    "\u00a0": ("a no-break space", "write an ordinary space"),
    "\u2212": ("this minus is a typographic one", "write `-`"),
    "\u00d7": ("`×` is no operator", "write `*`"),
    "\u2264": ("`≤` is no operator", "write `<=`"),
    "\u2265": ("`≥` is no operator", "write `>=`"),
    "\u2192": ("`→` is no token", "write `->`"),
}
"""Message and help for characters that begin no token."""

SPELLINGS: Final = {
    "&&": (
        "`&&` is no operator",
        "`&` is the and of comparisons, `logical_and(A, B)` of any values",
    ),
    "||": ("`||` is no operator", "`|` is the or of comparisons, `logical_or(A, B)` of any values"),
    "**": ("`**` is no operator", "write `pow(A, B)`, or `A * A`"),
    "++": ("`++` is no operator", None),
    "+=": ("there is no `+=`", "a sum is written `C[i : N] = +(...)`; every name is assigned once"),
    "-=": ("there is no `-=`", "every name is assigned once: `D = C - A`"),
    "*=": (
        "there is no `*=`",
        "a product is written `C[i : N] = *(...)`; every name is assigned once",
    ),
    "/=": ("there is no `/=`", "every name is assigned once: `D = C / A`"),
    ":=": ("there is no `:=`", "write `=`"),
    "=>": ("there is no `=>`", "`->` stands between inputs and outputs"),
    "-->": ("there is no `-->`", "write `->`"),
    "==": ("a statement assigns with a single `=`", "`C = A == B` compares; `C[i : N] = =(A[i])`"),
    "===": ("there is no `===`", "write `==`"),
    "<>": ("there is no `<>`", "write `!=`"),
}
"""Message and help for operators of other languages, where they lead to a fault."""

WORDS: Final = {
    "and": (
        "`and` is no operator",
        "`&` is the and of comparisons, `logical_and(A, B)` of any values",
    ),
    "or": ("`or` is no operator", "`|` is the or of comparisons, `logical_or(A, B)` of any values"),
    "xor": ("`xor` is no operator", "write `logical_xor(A, B)`, or `A ^ B` for bits"),
    "not": ("`not` is no operator", "write `logical_not(A)`"),
    "if": ("there is no `if`", "`test ? then : otherwise` chooses for every element"),
    "else": ("there is no `else`", "`test ? then : otherwise` chooses for every element"),
    "for": ("there are no loops", "an aggregation goes over its indices: `C[i : N] = +(A[i, k])`"),
    "while": ("there are no loops", "an aggregation goes over its indices"),
    "return": ("there is no `return`", "the outputs are named in the header: `-> (C)`"),
    "def": ("a function begins with `function`", "function f(A[N]) -> (B) { ... }"),
    "fn": ("a function begins with `function`", "function f(A[N]) -> (B) { ... }"),
    "func": ("a function begins with `function`", "function f(A[N]) -> (B) { ... }"),
    "let": ("there is no `let`", "write `C = ...`"),
    "var": ("there is no `var`", "write `C = ...`"),
}
"""Message and help for words of other languages, where they lead to a fault."""

EXPRESSION: Final = ("an expression", ("INT", "FLOAT", "ID", "IDX", "LPAR", "MINUS", "TILDE"))
OPERATOR: Final = ("an operator", ("PLUS", "MINUS", "STAR", "SLASH", "PERCENT"))
STATEMENT: Final = ("a statement", ("ID", "LATTR"))
"""Words for several terminals at once, where all of them could stand."""

CONTINUATIONS: Final = frozenset(
    (
        *("PLUS", "MINUS", "STAR", "SLASH", "PERCENT", "AMPERSAND", "BAR", "CARET"),
        *("LEFT", "RIGHT", "EQUALS", "NOT_EQUALS", "LESS", "MORE", "LESS_EQUAL", "MORE_EQUAL"),
        *("QUESTION", "LPAR", "LSQB", "IDX"),
    )
)
"""What may follow an operand to go on with the expression: all of it is called an operator."""

NAMES: Final = {
    "ID": "a name such as `A`",
    "IDX": "a word in lower case",
    "INT": "an integer",
    "FLOAT": "a number",
    "FUNCTION": "`function`",
    "DEFAULT": "`default`",
    "NO_DEFRACT": "`no_defract`",
    "SLASH": "`/`",
    "$END": "the end of the program",
}
"""Words for the terminals that are no marks; a mark stands for itself."""
