"""Conditions that nobody would write: told or refused by a sentence, and nothing else comes of them."""

from __future__ import annotations

import ast
import json
import os
import select
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import REQUIRED, ROOT
from tests.results.guarded import FRAME, MOST_PEAK_BYTES
from tests.sweeps.attacks import ATTACKS
from tests.sweeps.conditions import examples

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="macOS limits no address space")
COUNT = 1_000 if "slow" in os.environ.get(REQUIRED, "").split(",") else 200
DRAWN = settings(
    max_examples=COUNT,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
NAMES = [*map(str, FRAME), "missing", "__builtins__", "str", "contains", "isna"]


class Guarded:
    """The process of ``guarded.py``, started again when a text has ended it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self.answers: Counter[str] = Counter()

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.results.guarded"],
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
                cwd=self._folder, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
            assert self._line() == "ready\n"
        return self._process

    def _line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], 60)
        return self._process.stdout.readline() if ready else ""

    def ask(self, text: str) -> None:
        """Make sure that a text is told or refused, and that nothing else comes of it."""
        process = self._started()
        assert process.stdin is not None
        process.stdin.write(json.dumps(text) + "\n")
        process.stdin.flush()
        line = self._line()
        if not line:
            self.end()
            pytest.fail(f"took more than 2 s or ended the process: {text!r}")
        answer: dict[str, Any] = json.loads(line)
        assert answer["done"] == [], text
        assert answer["peak"] < MOST_PEAK_BYTES, text
        for ask in ("choose", "depend"):
            assert answer[ask] in ("told", "refused"), f"{text!r}\n{answer[ask]}"
            self.answers[f"{ask} {answer[ask]}"] += 1

    def end(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    process = Guarded(tmp_path_factory.mktemp("empty"))
    yield process
    process.end()


def test_attacks_and_examples_do_nothing_but_be_told_or_refused(guarded: Guarded) -> None:
    for text in [text for text, _ in [*ATTACKS, *examples()]]:
        guarded.ask(text)
        guarded.ask(text.replace("optimizer", "state"))
    assert guarded.answers["choose told"] > 10


def test_the_hook_sees_what_a_condition_could_do(tmp_path: Path) -> None:
    """Else the drawings would prove nothing."""
    texts = {
        "open('stolen', 'w')": "open ('stolen', 'w'",
        "__import__('os').system('touch stolen')": "os.system (b'touch stolen'",
        "__import__('subprocess').run(['touch', 'stolen'])": "subprocess.Popen ('touch'",
        "__import__('this')": "import ('this'",
        "exec('1')": "exec (<code object",
    }
    acts = "".join(f"lambda: {text}, " for text in texts)
    code = (
        f"import subprocess, sys\nfrom tests.results import guarded\nsys.addaudithook(guarded.forbid)\n"
        f"for act in ({acts}):\n    try:\n        act()\n    except PermissionError:\n        pass\n"
        "print(guarded.done)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    for said in texts.values():
        assert said in done.stdout
    assert not any(tmp_path.iterdir())


TOKENS = [
    *NAMES, "`odd name`", "`", "'", '"', "'''", "\\", "\n", "\0", "\udcff", "²", "ﬁ", " ", "  ",
    "f'{seed:9999999999}'", "'%9999999999d'", "b'x'", "'x'",
    "and", "or", "not", "in", "is", "if", "else", "for", "lambda", "await", "yield", "None", "True", "False",
    "&", "|", "~", "@", "==", "!=", "<", ">=", "=", ":=", "+", "-", "*", "/", "//", "%", "**", "<<", "^",
    "#", ";", "(", ")", "[", "]", "{", "}", ",", ":", ".", "...", ".str.", ".contains(", ".isna()", ".isin([",
    "0", "1", "0.5", "9", "9999999999", "1e308", "1e999", "1j", "0x",
]  # fmt: skip


@DRAWN
@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_any_text_is_told_or_refused(guarded: Guarded, text: str) -> None:
    guarded.ask(text)


@DRAWN
@given(st.lists(st.sampled_from(TOKENS), max_size=30), st.sampled_from(["", " "]))
def test_any_words_of_pythons_are_told_or_refused(guarded: Guarded, words: list[str], between: str) -> None:
    guarded.ask(between.join(words))


AROUND = [
    "({})", "not {}", "-{}", "~({})", "[{}]", "{} and seed > 1", "seed > 1 or {}", "({}).isna()",
    "contains({}, 'x')", "({}).str.contains('x')",
]  # fmt: skip
WRITTEN = st.sampled_from([text for text, _ in [*ATTACKS, *examples()] if len(text) <= 10_000])


def changed(text: str, start: int, end: int) -> st.SearchStrategy[str]:
    """A text with a part left out, replaced or repeated, or within or beside another."""
    before, part, after = text[:start], text[start:end], text[end:]
    return st.one_of(
        st.just(before + after),
        st.sampled_from(TOKENS).map(lambda token: before + token + after),
        st.integers(2, 300).map(lambda times: before + part * times + after),
        st.sampled_from(AROUND).map(lambda around: around.replace("{}", text)),
        st.tuples(st.sampled_from(["or", "=="]), WRITTEN).map(lambda more: f"{text} {more[0]} ({more[1]})"),
    )


@st.composite
def mutants(draw: st.DrawFn) -> str:
    """An attack or a good condition, changed several times."""
    text = draw(WRITTEN)
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text)))
        text = draw(changed(text, start, draw(st.integers(start, min(len(text), start + 30)))))
    return text


@DRAWN
@given(mutants())
def test_what_is_nearly_an_attack_is_told_or_refused(guarded: Guarded, text: str) -> None:
    guarded.ask(text)


STORE, LOAD = ast.Store(), ast.Load()
names = st.sampled_from([name for name in NAMES if name.isidentifier()])
attributes = st.sampled_from(
    ["str", "contains", "startswith", "isna", "notna", "isin", "map", "repeat", "to_pickle", "to_csv",
     "system", "values", "format", "__class__", "__globals__", "__func__"]
)  # fmt: skip
numbers = st.integers() | st.sampled_from([2**62, 10**308, 10**400]) | st.floats() | st.complex_numbers()
texts = st.text(max_size=5) | st.binary(max_size=3)
constants = st.none() | st.booleans() | numbers | texts | st.just(...)


def any_of(kinds: type[ast.AST]) -> st.SearchStrategy[Any]:
    """Of an operator any kind."""
    return st.sampled_from(kinds.__subclasses__()).map(lambda kind: kind())


def nodes(inner: st.SearchStrategy[Any]) -> dict[type[ast.expr], st.SearchStrategy[Any]]:
    """Every kind of expression that Python has, made of others."""
    several = st.lists(inner, max_size=3)
    bound = names.map(lambda name: ast.Name(name, STORE))
    clauses = st.builds(ast.comprehension, bound, inner, st.lists(inner, max_size=1), st.just(0))
    empty = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    pairs = st.lists(st.tuples(inner, inner), max_size=2)
    keywords = st.builds(ast.keyword, st.none() | st.sampled_from(["na", "regex", "case"]), inner)
    formatted = st.builds(ast.FormattedValue, inner, st.sampled_from([-1, 114]), st.none())
    wide = st.builds(
        lambda value: ast.FormattedValue(value, -1, ast.JoinedStr([ast.Constant("999999999")])), inner
    )
    compared = st.lists(st.tuples(any_of(ast.cmpop), inner), min_size=1, max_size=3)
    return {
        ast.BoolOp: st.builds(ast.BoolOp, any_of(ast.boolop), st.lists(inner, min_size=2, max_size=4)),
        ast.NamedExpr: st.builds(ast.NamedExpr, bound, inner),
        ast.BinOp: st.builds(ast.BinOp, inner, any_of(ast.operator), inner),
        ast.UnaryOp: st.builds(ast.UnaryOp, any_of(ast.unaryop), inner),
        ast.Lambda: st.builds(ast.Lambda, st.just(empty), inner),
        ast.IfExp: st.builds(ast.IfExp, inner, inner, inner),
        ast.Dict: pairs.map(lambda both: ast.Dict([key for key, _ in both], [value for _, value in both])),
        ast.Set: st.builds(ast.Set, st.lists(inner, min_size=1, max_size=3)),
        ast.ListComp: st.builds(ast.ListComp, inner, st.lists(clauses, min_size=1, max_size=2)),
        ast.SetComp: st.builds(ast.SetComp, inner, st.lists(clauses, min_size=1, max_size=2)),
        ast.DictComp: st.builds(ast.DictComp, inner, inner, st.lists(clauses, min_size=1, max_size=2)),
        ast.GeneratorExp: st.builds(ast.GeneratorExp, inner, st.lists(clauses, min_size=1, max_size=2)),
        ast.Await: st.builds(ast.Await, inner),
        ast.Yield: st.builds(ast.Yield, inner),
        ast.YieldFrom: st.builds(ast.YieldFrom, inner),
        ast.Compare: st.builds(
            lambda left, rest: ast.Compare(left, [op for op, _ in rest], [part for _, part in rest]),
            inner,
            compared,
        ),
        ast.Call: st.builds(ast.Call, inner, several, st.lists(keywords, max_size=2)),
        ast.FormattedValue: formatted,
        ast.JoinedStr: st.builds(ast.JoinedStr, st.lists(formatted | wide, max_size=2)),
        ast.Constant: st.builds(ast.Constant, constants),
        ast.Attribute: st.builds(ast.Attribute, inner, attributes, st.just(LOAD)),
        ast.Subscript: st.builds(ast.Subscript, inner, inner, st.just(LOAD)),
        ast.Starred: st.builds(ast.Starred, inner, st.just(LOAD)),
        ast.Name: st.builds(ast.Name, names, st.just(LOAD)),
        ast.List: st.builds(ast.List, several, st.just(LOAD)),
        ast.Tuple: st.builds(ast.Tuple, several, st.just(LOAD)),
        ast.Slice: st.builds(ast.Slice, inner, inner, st.none()),
    }


def test_every_kind_of_expression_is_drawn() -> None:
    python = {kind for kind in ast.expr.__subclasses__() if kind.__module__ in ("ast", "_ast")}
    assert set(nodes(st.nothing())) == python  # libraries have kinds of their own


def as_text(node: ast.expr) -> str:
    """A tree as Python writes it, or what is nearest where no text gives such a tree."""
    try:
        return ast.unparse(ast.fix_missing_locations(node))
    except ValueError:  # a backslash within an f-string
        return ast.dump(node)


leaves = st.builds(ast.Name, names, st.just(LOAD)) | st.builds(ast.Constant, constants)
trees = st.recursive(leaves, lambda inner: st.one_of(list(nodes(inner).values())), max_leaves=20)


@DRAWN
@given(trees.map(as_text))
def test_any_expression_of_python_is_told_or_refused(guarded: Guarded, text: str) -> None:
    guarded.ask(text)


def conditions() -> st.SearchStrategy[Any]:
    """Expressions of the kinds that may be in a condition."""
    plain = (
        st.none() | st.booleans() | st.integers(-3, 100) | st.floats(allow_nan=False) | st.text(max_size=5)
    )
    one = st.builds(ast.Constant, plain) | st.builds(ast.Name, names, st.just(LOAD))
    few = st.lists(st.builds(ast.Constant, plain), max_size=3)

    def larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        kinds = nodes(inner)
        listed = st.builds(ast.List, few, st.just(LOAD))
        within = st.builds(
            lambda left, op, right: ast.Compare(left, [op], [right]), inner, any_of(ast.cmpop), listed
        )
        tests = st.builds(
            lambda of, name: ast.Call(ast.Attribute(of, name, LOAD), [], []),
            inner, st.sampled_from(["isna", "notna", "isnull", "notnull"]),
        )  # fmt: skip
        texts = st.builds(
            lambda of, name, text: ast.Call(ast.Name(name, LOAD), [of, ast.Constant(text)], []),
            inner, st.sampled_from(["contains", "startswith", "endswith"]), st.text(max_size=3),
        )  # fmt: skip
        return st.one_of(
            kinds[ast.BoolOp], kinds[ast.BinOp], kinds[ast.UnaryOp], kinds[ast.Compare], within, tests, texts
        )

    return st.recursive(one, larger, max_leaves=15)


@DRAWN
@given(conditions().map(as_text))
def test_any_condition_is_told_or_refused(guarded: Guarded, text: str) -> None:
    guarded.ask(text)


def test_of_the_drawn_ones_many_were_told(guarded: Guarded) -> None:
    """Else the drawings would prove little; it goes by those before it."""
    if sum(guarded.answers.values()) < 10 * COUNT:
        pytest.skip("not all have been drawn")
    assert guarded.answers["choose told"] > COUNT / 20
    assert guarded.answers["depend told"] > COUNT / 20
