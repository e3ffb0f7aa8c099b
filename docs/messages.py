"""Write docs/messages.md: what each error says, where it comes from, and what to do about it.

    python docs/messages.py

Every error that a user meets is an `InputError(where, cause, cure)`; all of them are found in the source.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "syncnet_lib"
PAGE = ROOT / "docs" / "messages.md"
HEAD = """# What each error says

`error: FILE: CAUSE; CURE`, on one line, with exit code 2. Below, by the part of the program that says it: the cause,
with what is filled in as `{...}`, and the cure where the program gives one. Made by `python docs/messages.py`.
"""


def page() -> str:
    """The page as it should be."""
    parts = [HEAD]
    for path in sorted(LIBRARY.rglob("*.py")):
        rows = sorted(set(_messages(ast.parse(path.read_text(encoding="utf-8")))))
        if rows:
            name = path.relative_to(LIBRARY).with_suffix("").as_posix()
            table = [f"| {cause} | {cure} |" for cause, cure in rows]
            parts += [f"\n## {name}\n", "| cause | cure |", "|---|---|", *table]
    return "\n".join(parts) + "\n"


def _messages(module: ast.Module) -> Iterator[tuple[str, str]]:
    """Cause and cure of each `InputError` that a module makes; a name stands for what was last put into it above."""
    for scope in ast.walk(module):
        if isinstance(scope, ast.FunctionDef):
            texts: dict[str, ast.expr] = {}
            for node in _in_order(scope):
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    texts[node.targets[0].id] = node.value
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("InputError"):
                    cause, cure = (_text(each, texts) for each in [*node.args, ast.Constant(""), ast.Constant("")][1:3])
                    yield _cell(cause), _cell(cure)


def _in_order(scope: ast.FunctionDef) -> Iterator[ast.AST]:
    """The nodes of a function in the order of their lines, without those of functions inside it."""
    inner = {id(node) for each in ast.walk(scope) if isinstance(each, ast.FunctionDef) and each is not scope
             for node in ast.walk(each)}  # fmt: skip
    nodes = [node for node in ast.walk(scope) if hasattr(node, "lineno") and id(node) not in inner]
    return iter(sorted(nodes, key=lambda node: (node.lineno, node.col_offset)))  # type: ignore[attr-defined]


def _text(node: ast.expr, texts: dict[str, ast.expr]) -> str:
    """An expression as the text that it makes."""
    if isinstance(node, ast.Constant):
        text = str(node.value)
    elif isinstance(node, ast.JoinedStr):
        text = "".join(_text(part, texts) for part in node.values)
    elif isinstance(node, ast.FormattedValue):
        text = f"{{{ast.unparse(node.value)}}}"
    elif isinstance(node, ast.IfExp):
        text = " or ".join(filter(None, (_text(node.body, texts), _text(node.orelse, texts))))
    elif isinstance(node, ast.BinOp):
        text = _text(node.left, texts) + _text(node.right, texts)
    elif isinstance(node, ast.Name) and node.id in texts and not isinstance(texts[node.id], ast.Name):
        text = _text(texts[node.id], {})
    else:
        text = f"{{{ast.unparse(node)}}}"
    return text


def _cell(text: str) -> str:
    """A text as it can stand in a table."""
    return " ".join(text.replace("|", "\\|").split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
