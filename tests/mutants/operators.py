"""Mutants of a module: mutmut's operators and three of our own, less the changes that no test could see.

The three: `condition` negates the test of an `if`, `conjunct` leaves out one side of an `and` or `or`, and `statement`
leaves out a call, an augmented assignment, a `del` or a `raise`.

Left out, because behaviour stays the same:
- docstrings, annotations, imports, decorators, `Protocol` classes, `__slots__`, `__all__`, `if TYPE_CHECKING`;
- type aliases, TypeVars, the type that `cast` is given, and `assert isinstance(...)`: they speak to the type checker;
- `strict=` of `zip`, `encoding=`, and `frozen=`, `slots=` and `eq=` of a class;
- an empty text for the None of an annotated default: both say that nothing was given.
Left out, because only words for people change: loggers, what is logged, and the message of an exception in a `raise`.
Its keywords are mutated, and so are messages that are passed on in other ways.
Left out, because they would flatter the tests: None for a positional argument, which nearly always fails at the first
call, and the second and third change that mutmut makes to a text.
"""

import ast
import difflib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import libcst as cst
import libcst.matchers as m
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider
from mutmut.mutation import mutators

MODULE = "(module)"
TYPING_CALLS = {"TypeVar", "NewType", "NamedTuple", "getLogger"}
TYPING_NAMES = {"Literal", "Callable", "Annotated", "Union", "Optional", "Mapping", "Sequence"}
SPECIAL_NAMES = {"__slots__", "__all__"}
UNSEEN_KEYWORDS = {"strict", "encoding", "frozen", "slots", "eq"}
LOGGERS = {"log", "logger", "logging", "warnings"}

# Its name, the nodes it takes, and their mutants.
Operator = tuple[str, type, Callable[[cst.CSTNode], Iterable[cst.CSTNode]]]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file.

    lines: the lines on one of which a test must have been for this mutant to be met, the most exact first.
    at_import: the line runs when the module is imported. before, after: the lines that differ, joined.
    """

    path: str
    function: str
    operator: str
    lines: tuple[int, ...]
    at_import: bool
    before: str
    after: str
    source: str

    @property
    def change(self) -> str:
        """The change in one line; with the file and the function it is the mutant's stable name."""
        return f"{self.before} -> {self.after}"


def mutants_of(path: str, source: str) -> list[Mutant]:
    """All mutants of a module, in the order of its text."""
    module = cst.parse_module(source)
    wrapper = MetadataWrapper(module, unsafe_skip_copy=True)
    positions = wrapper.resolve(PositionProvider)
    finder = _Finder(positions)
    finder.walk(module)
    lines = source.splitlines(keepends=True)
    found: dict[tuple[str, str], Mutant] = {}
    for place in finder.places:
        mutated, before, after = _replaced(lines, positions[place.node], _code(module, place))
        if before == after or not _compiles(mutated):
            continue
        # The same change may be made twice in one line: the second is told by its number.
        for number in itertools.count(1):
            text = after if number == 1 else f"{after} ({number})"
            key = (place.function, f"{before} -> {text}")
            if key not in found:
                found[key] = Mutant(
                    path, place.function, place.operator, place.lines, place.at_import, before, text, mutated
                )
            if found[key].source == mutated:
                break
    return list(found.values())


def _code(module: cst.Module, place: "_Place") -> str:
    """The new node's code. A node's position is inside its parentheses, so those are not written again."""
    new = place.new
    if isinstance(new, cst.BaseExpression) and isinstance(place.node, cst.BaseExpression) and place.node.lpar:
        new = new.with_changes(lpar=(), rpar=())
    return module.code_for_node(new)


def _replaced(lines: Sequence[str], position: CodeRange, code: str) -> tuple[str, str, str]:
    """The source with the code at the position, and the lines that differ, before and after."""
    start, end = position.start, position.end
    old = lines[start.line - 1 : end.line]
    text = old[0][: start.column] + code + old[-1][end.column :]
    before, after = _difference("".join(old), text)
    return "".join([*lines[: start.line - 1], text, *lines[end.line :]]), before, after


@dataclass(frozen=True, slots=True)
class _Place:
    """A node and the one that takes its place."""

    node: cst.CSTNode
    new: cst.CSTNode
    operator: str
    function: str
    lines: tuple[int, ...]
    at_import: bool


class _Finder:
    """Walks a module and collects the places where an operator applies."""

    def __init__(self, positions: Mapping[cst.CSTNode, CodeRange]) -> None:
        self.places: list[_Place] = []
        self._positions = positions
        self._names: list[str] = []
        self._statements: list[int] = []
        # Function bodies around the node: parameters belong to what is around the function.
        self._bodies = 0

    def walk(self, node: cst.CSTNode) -> None:
        if _is_left_out(node, top=not self._names):
            return
        if isinstance(node, cst.BaseSmallStatement | cst.BaseCompoundStatement):
            self._statements.append(self._line(node))
            self._walk_statement(node)
            self._statements.pop()
        elif m.matches(node, m.Call(func=m.Name("cast"), args=[m.Arg(), m.Arg()])):
            self.walk(cst.ensure_type(node, cst.Call).args[1])
        else:
            self._find(node)
            self._walk_children(node)

    def _walk_statement(self, node: cst.CSTNode) -> None:
        if isinstance(node, cst.FunctionDef):
            self._names.append(node.name.value)
            self.walk(node.params)
            self._bodies += 1
            self.walk(node.body)
            self._bodies -= 1
            self._names.pop()
        elif isinstance(node, cst.ClassDef):
            self._names.append(node.name.value)
            self._walk_children(node)
            self._names.pop()
        elif isinstance(node, cst.Raise):
            self._find(node)
            for arg in node.exc.args if isinstance(node.exc, cst.Call) else ():
                if arg.keyword is not None:
                    self.walk(arg.value)
        else:
            self._find(node)
            self._walk_children(node)

    def _walk_children(self, node: cst.CSTNode) -> None:
        for child in node.children:
            self.walk(child)

    def _find(self, node: cst.CSTNode) -> None:
        for name, kind, operator in OPERATORS:
            if isinstance(node, kind):
                self._add(node, name, operator)
        # A single comparison or `not` has mutants of its own.
        if isinstance(node, cst.If | cst.CompIf) and not isinstance(node.test, cst.Comparison | cst.UnaryOperation):
            self._add(node.test, "condition", _condition)

    def _add(self, node: cst.CSTNode, name: str, operator: Callable[[cst.CSTNode], Iterable[cst.CSTNode]]) -> None:
        lines = tuple(dict.fromkeys((self._line(node), *self._statements[-1:])))
        function = ".".join(self._names) or MODULE
        self.places += [
            _Place(node, new, name, function, lines, self._bodies == 0)
            for new in operator(node)
            if not _touches_unseen(node, new)
        ]

    def _line(self, node: cst.CSTNode) -> int:
        return int(self._positions[node].start.line)


def _is_left_out(node: cst.CSTNode, *, top: bool) -> bool:
    match node:
        case cst.Annotation() | cst.Decorator() | cst.Import() | cst.ImportFrom() | cst.Global() | cst.Nonlocal():
            return True
        case cst.Expr(value=cst.SimpleString() | cst.ConcatenatedString()):
            return True
        case cst.Assert(test=cst.Call(func=cst.Name(value="isinstance"))):
            return True
        case cst.ClassDef(bases=bases):
            return any(m.matches(base.value, m.Name("Protocol") | m.Subscript(m.Name("Protocol"))) for base in bases)
        case cst.If(test=cst.Name(value="TYPE_CHECKING")):
            return True
        case cst.AnnAssign(value=cst.Name(value="None")):
            return True
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))], value=value):
            return name in SPECIAL_NAMES or (top and _is_type(value))
        case cst.Call(func=cst.Attribute(value=cst.Name(value=name))):
            return name in LOGGERS
        case cst.Arg(keyword=cst.Name(value=name)):
            return name in UNSEEN_KEYWORDS
        case cst.Expr(value=cst.Call(func=cst.Attribute(value=cst.Name(value=name)))):
            return name in LOGGERS
    return False


def _is_type(value: cst.BaseExpression) -> bool:
    """True for the value of a type alias, a TypeVar or a logger."""
    match value:
        case cst.Subscript(value=cst.Name(value=name)):
            return name in TYPING_NAMES or name in {"type", "dict", "list", "tuple"}
        case cst.BinaryOperation(operator=cst.BitOr(), left=left, right=right):
            return all(isinstance(side, cst.Name | cst.Subscript) or _is_type(side) for side in (left, right))
        case cst.Call(func=cst.Name(value=name) | cst.Attribute(attr=cst.Name(value=name))):
            return name in TYPING_CALLS
    return False


def _touches_unseen(node: cst.CSTNode, new: cst.CSTNode) -> bool:
    """True where a call has another argument, and that is one no test could miss or one that cannot but fail."""
    if not isinstance(node, cst.Call) or not isinstance(new, cst.Call):
        return False
    kept = {id(arg) for arg in new.args}
    changed = [arg for arg in node.args if id(arg) not in kept]
    if any(arg.keyword is not None and arg.keyword.value in UNSEEN_KEYWORDS for arg in changed):
        return True
    return len(new.args) == len(node.args) and any(arg.keyword is None for arg in changed)


def _condition(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """`x` as `not x`."""
    assert isinstance(node, cst.BaseExpression)
    inside = node.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    yield cst.UnaryOperation(cst.Not(), inside)


def _conjunct(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """`a and b` as `a`, and as `b`."""
    if isinstance(node, cst.BooleanOperation):
        for side in (node.left, node.right):
            yield side.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


def _statement(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    if isinstance(node, cst.AugAssign | cst.Del | cst.Raise):
        yield cst.Pass()
    if isinstance(node, cst.Expr) and isinstance(node.value, cst.Call | cst.Await):
        yield cst.Pass()


def _first(operator: Callable[[cst.CSTNode], Iterable[cst.CSTNode]]) -> Callable[[cst.CSTNode], list[cst.CSTNode]]:
    return lambda node: list(operator(node))[:1]


def _operators() -> Sequence[Operator]:
    theirs: list[Operator] = []
    for kind, operator in mutators.mutation_operators:
        name = operator.__name__.removeprefix("operator_")
        theirs.append((name, kind, _first(operator) if name == "string" else operator))
    return [
        *theirs,
        ("conjunct", cst.BooleanOperation, _conjunct),
        ("statement", cst.BaseSmallStatement, _statement),
    ]


OPERATORS = _operators()


def _compiles(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def _difference(old: str, new: str) -> tuple[str, str]:
    """The lines that differ, each side joined into one line of single spaces."""
    before, after = old.splitlines(), new.splitlines()
    removed, added = [], []
    for tag, i, j, k, n in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            removed += before[i:j]
            added += after[k:n]
    return " ".join(" ".join(removed).split()), " ".join(" ".join(added).split())
