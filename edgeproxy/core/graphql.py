"""Whether a GraphQL document only reads.  GraphQL specification (October 2021), §2.

Its words are read as the specification has them, and no more than is needed to tell where definitions
begin: what does not fit is taken for something else than queries.
"""

import re

# §2.1.1-2.1.9. A string ends where it first can: possessive, so that no other end is ever tried.
_WORD = re.compile(
    r"""
    (?P<ignored> (?: [\ufeff\t\ ,\r\n] | \#[^\r\n]*+ )++ )
    | (?P<name> [_A-Za-z][_0-9A-Za-z]*+ )
    | (?P<string> \"\"\"(?: \\\"\"\" | (?!\"\"\")[\t\r\n\x20-\uffff\U00010000-\U0010ffff] )*+\"\"\"
                | \"(?!\"\")(?: \\[^\r\n] | [\t\x20-\x21\x23-\x5b\x5d-\uffff\U00010000-\U0010ffff] )*+\"
                | \"\"(?!\") )
    | (?P<number> -?[0-9][0-9.eE+\-]*+ )
    | (?P<mark> \.\.\. | [!$&()\[\]{}:=@|] )
    """,
    re.VERBOSE,
)
_ENDS = {"(": ")", "[": "]", "{": "}"}


def only_reads(document: str) -> bool:
    """Whether all operations of `document` are queries, of which there is one at least.

    Which of several is meant then makes no difference.
    """
    at, has_query, is_between = 0, False, True
    open_marks: list[str] = []
    while at < len(document):
        found = _WORD.match(document, at)
        if found is None:
            return False
        at, kind, word = found.end(), found.lastgroup, found.group()
        if kind == "ignored":
            continue
        if is_between:
            # §2.2: an operation, which may be a bare selection, or a fragment.
            if word not in ("query", "fragment", "{"):
                return False
            has_query = has_query or word != "fragment"
            is_between = False
        if kind != "mark":
            continue
        if word in _ENDS:
            open_marks.append(_ENDS[word])
        elif word in _ENDS.values():
            if not open_marks or open_marks.pop() != word:
                return False
            is_between = not open_marks and word == "}"
    return has_query and is_between
