"""A user's own tables and arrays."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpc.models import collect_notes
from hpc.models.datasets.csv_columns import columns_problem
from hpc.models.datasets.csv_file import csv, csv_problem
from hpc.models.datasets.npz_file import npz, npz_problem
from hpc.models.reference import ModelError, signature_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One whose name has spaces and quotes."""
    path = tmp_path / 'my "own" data, it\'s'
    path.mkdir()
    return path


def table(folder: Path, text: str | bytes, name: str = "table.csv") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


IRIS = "length,width,kind\n1.5,2,setosa\n3,4,virginica\n5,6,setosa\n"


# Reading tables


def test_a_table_has_features_and_in_its_last_column_the_target(folder: Path) -> None:
    x, y = csv(table(folder, IRIS))
    assert x.tolist() == [[1.5, 2], [3, 4], [5, 6]]
    assert y.tolist() == [0, 1, 0]
    assert x.dtype == np.float64
    assert y.dtype == np.int32


@pytest.mark.parametrize(
    "text",
    [
        IRIS.replace("\n", "\r\n"),
        IRIS.replace("\n", "\r"),
        "\ufeff" + IRIS,
        IRIS.rstrip("\n"),
        IRIS.replace(",", ", "),
        "\n\n" + IRIS.replace("\n", "\n\n") + "  \n",
        'length,"width","kind"\n"1.5",2,"setosa"\n3,4,virginica\n5,6,setosa\n',
    ],
    ids=["Windows", "old Mac", "BOM", "no last line end", "spaces", "blank lines", "quotes"],
)
def test_files_of_many_programs_are_read_alike(folder: Path, text: str) -> None:
    path = table(folder, text)
    assert csv_problem(path, {"target": "kind", "drop": ["length"]}) is None
    x, y = csv(path)
    assert x.tolist() == [[1.5, 2], [3, 4], [5, 6]]
    assert y.tolist() == [0, 1, 0]


@pytest.mark.parametrize("sep", [";", "\t", "|", " "])
def test_columns_may_be_separated_otherwise(folder: Path, sep: str) -> None:
    path = table(folder, IRIS.replace(",", sep))
    assert csv_problem(path, {"sep": sep, "target": "width", "drop": "kind"}) is None
    assert csv(path, sep=sep)[0].tolist() == [[1.5, 2], [3, 4], [5, 6]]


def test_fields_may_hold_commas_quotes_and_line_ends(folder: Path) -> None:
    text = 'a,"b, too","say ""c"""\n1,2,"x, y"\n3,4,"x ""y"""\n5,6,"x\ny"\n7,8,"x, y"\n'
    path = table(folder, text)
    options: dict[str, Any] = {"target": 'say "c"', "drop": "b, too"}
    assert csv_problem(path, options) is None
    x, y = csv(path, **options)
    assert x.tolist() == [[1], [3], [5], [7]]
    assert y.tolist() == [2, 1, 0, 2]


def test_quotes_may_follow_a_space(folder: Path) -> None:
    path = table(folder, 'a, "b, too", y\n1, 2, "p, q"\n3, 4, r\n')
    assert csv_problem(path, {"target": "b, too", "drop": "y"}) is None
    x, y = csv(path)
    assert x.tolist() == [[1, 2], [3, 4]]
    assert y.tolist() == [0, 1]


def test_one_row_with_one_feature_is_enough(folder: Path) -> None:
    x, y = csv(table(folder, "a,b\n1,0.5\n"))
    assert (x.tolist(), y.tolist()) == ([[1]], [0.5])


def test_columns_are_chosen_by_name(folder: Path) -> None:
    path = table(folder, "a,b,c,d\n1,2,3,0.5\n4,5,6,1.5\n")
    assert csv(path, target="a", classes=False)[0].tolist() == [[2, 3, 0.5], [5, 6, 1.5]]
    assert csv(path, drop=["a", "c"])[0].tolist() == [[2], [5]]
    x, y = csv(path, target=["d", "b"], drop="a")
    assert (x.tolist(), y.tolist()) == ([[3], [6]], [[0.5, 2], [1.5, 5]])
    assert csv(path, target=["d"])[1].tolist() == [0.5, 1.5]


def test_the_target_is_the_last_column_that_is_not_dropped(folder: Path) -> None:
    path = table(folder, "a,b,remark\n1,0.5,\n2,1.5,fine\n")
    x, y = csv(path, drop="remark")
    assert (x.tolist(), y.tolist()) == ([[1], [2]], [0.5, 1.5])


def test_features_of_few_values_become_zeros_and_ones(folder: Path) -> None:
    path = table(folder, "colour,size,floors,y\nred,1.5,2,0.5\nblue,2.5,10,0.5\nred,3.5,2,0.5\n")
    x, _ = csv(path, one_hot=["floors", "colour"])
    assert x.tolist() == [[1.5, 1, 0, 0, 1], [2.5, 0, 1, 1, 0], [3.5, 1, 0, 0, 1]]
    only, _ = csv(path, one_hot="colour", drop=["size", "floors"])
    assert only.tolist() == [[0, 1], [1, 0], [0, 1]]


def test_true_and_false_are_one_and_zero_as_features(folder: Path) -> None:
    x, _ = csv(table(folder, "a,b,y\nTrue,1,0.5\nFalse,2,0.5\n"))
    assert x.tolist() == [[1, 1], [0, 2]]


# The target


@pytest.mark.parametrize(
    ("values", "classes", "expected"),
    [
        ("b a b", "auto", [1, 0, 1]),
        ("True False True", "auto", [1, 0, 1]),
        ("true false true", True, [1, 0, 1]),
        ("1 2 1 2", "auto", [0, 1, 0, 1]),
        ("-1 1 1 -1", "auto", [0, 1, 1, 0]),
        ("10 9 10 9", "auto", [1, 0, 1, 0]),
        ("1.0 0.0 1.0 0.0", "auto", [1, 0, 1, 0]),
        ("7 7", "auto", [0, 0]),
        ("3 1 2", True, [2, 0, 1]),
        ("0.5 1.5 0.5", True, [0, 1, 0]),
        ("10 9 x", True, [0, 1, 2]),
        ("3a 1b", "auto", [1, 0]),
    ],
)
def test_classes_are_numbered_from_zero_in_sorted_order(
    folder: Path, values: str, classes: Any, expected: list[int]
) -> None:
    path = table(folder, "x,y\n" + "".join(f"0,{value}\n" for value in values.split()))
    y = csv(path, classes=classes)[1]
    assert y.tolist() == expected
    assert y.dtype == np.int32


@pytest.mark.parametrize(
    ("values", "classes", "expected"),
    [
        ("0.5 1 2", "auto", [0.5, 1, 2]),
        ("1 2 1 2", False, [1, 2, 1, 2]),
        ("1 2 3", False, [1, 2, 3]),
        ("True False", False, [1, 0]),
        ("1e3 0.1", "auto", [1000, 0.1]),
        ("123456789012345678901234567890 0.5", "auto", [123456789012345678901234567890.0, 0.5]),
    ],
)
def test_numbers_to_predict_stay_what_they_are(
    folder: Path, values: str, classes: Any, expected: list[float]
) -> None:
    path = table(folder, "x,y\n" + "".join(f"0,{value}\n" for value in values.split()))
    y = csv(path, classes=classes)[1]
    assert y.tolist() == expected
    assert y.dtype == np.float64


@pytest.mark.parametrize(
    ("values", "asks"),
    [
        ([0], True),
        ([0, 1], True),
        ([0, 0], False),
        ([0, 1, 1], True),
        ([0, 1, 1, 0], False),
        ([*range(100)] * 2, False),
        ([*range(101)] * 2, True),
        ([*range(101)] * 9, True),
        ([*range(51), *range(49)], True),
    ],
)
def test_whole_numbers_that_may_be_either_are_asked_about(
    folder: Path, values: list[int], asks: bool
) -> None:
    path = table(folder, "x,y\n" + "".join(f"0,{value}\n" for value in values))
    if asks:
        said = (
            f"the target 'y' holds whole numbers, {len(set(values))} different ones in {len(values)} samples;"
        )
        with pytest.raises(ModelError, match=f"{said} say classes: true if .*, classes: false if they"):
            csv(path)
        assert csv(path, classes=True)[1].dtype == np.int32
        assert csv(path, classes=False)[1].dtype == np.float64
    else:
        assert csv(path)[1].tolist() == values


def test_what_a_target_was_read_as_is_said(folder: Path) -> None:
    """Of real numbers nothing need be said."""
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("b a b", {}, "table.csv: the target 'y' was read as 2 classes of text"),
        ("1 ? 2", {"classes": True}, "table.csv: the target 'y' was read as 3 classes of text"),
        ("True False", {}, "table.csv: the target 'y' was read as 2 classes of true and false"),
        ("4 4 5 5", {}, "table.csv: the target 'y' was read as 2 classes, since it holds whole numbers; "
                        "classes: false takes them as numbers to predict"),
        ("0.5 1.5", {}, ""),
        ("4 5", {"classes": False}, ""),
    ]  # fmt: skip
    for values, options, said in cases:
        path = table(folder, "x,y\n" + "".join(f"0,{value}\n" for value in values.split()))
        with collect_notes() as heard:
            csv(path, **options)
        assert heard == ([said] if said else [])


def test_a_comma_may_stand_before_the_fraction(folder: Path) -> None:
    path = table(folder, "a;n;y\n1,5;1;12,86\n-2;2;0,5\n")
    assert csv_problem(path, {"sep": ";", "decimal": ","}) is None
    x, y = csv(path, sep=";", decimal=",")
    assert (x.tolist(), y.tolist()) == ([[1.5, 1], [-2, 2]], [12.86, 0.5])


# What is wrong in a table


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("a,b,y\n1,2,0.5\n1,,0.5\n", {}, "the column 'b' holds no value in line 3 (''); fill in"),
        ("a,b,y\n1,2,NA\n", {}, "the column 'y' holds no value in line 2 ('NA')"),
        ("a,b,y\n1\n1,2,3\n", {}, "the column 'b' holds no value in line 2 ('')"),
        ("a,y\n\n1,2\n\n \n,2\n,2\n", {}, "'a' holds no value in line 6 (''), the first of 2 such lines;"),
        ('a,y\n"1\n",2\nnan,2\n', {}, "the column 'a' holds no value in line 4 ('nan')"),
        ("a,kind\n1,x\n2,\n", {}, "the column 'kind' holds no value in line 3 ('')"),
        ("a,kind,y\n1,x,2\n2,,3\n", {"one_hot": "kind"}, "the column 'kind' holds no value in line 3"),
        ("a,b,y\n1,2,0.5\n1,?,0.5\n", {}, "the column 'b' holds text in line 3 ('?'), where a number"),
        (
            "a,b,y\n1,x,0.5\n",
            {},
            "; list the column under one_hot if it has a few different values, else under",
        ),
        (
            "a,b,y\n1,2 m,0.5\n",
            {"target": ["y", "b"]},
            "in line 2 ('2 m'), where a number is needed; several",
        ),
        ("a,y\n1,low\n", {"classes": False}, "holds text in line 2 ('low'), where a number is needed; corr"),
        ("a,y\n1,2\n3,inf\n", {}, "the column 'y' holds an infinite number in line 3 ('inf'), where"),
        (
            "a,y\n1e999,0.5\n",
            {},
            "'a' holds an infinite number in line 2 ('1e999'), where a number is needed; co",
        ),
        (
            "a,y\n" + "1,0.5\n" * 9 + "1,?\n1,0.5\n\n1,?\n1,n/k\n" + "1,-\n" * 4,
            {},
            "the target 'y' holds numbers, but text in line 11 ('?'), line 14 ('?'), line 15 ('n/k') and "
            "4 more; correct them or take the lines out if these are numbers to predict, say classes: true",
        ),
        (
            'a,y\n1,"12,86"\n2,"0,57"\n3,7\n',
            {},
            "'y' holds numbers, but text in line 2 ('12,86'), line 3 ('0,57'); say decimal: \",\" if a comma "
            "stands before the fraction; else correct them",
        ),
        (
            "a;y\n1;12,86\n2;0,57\n3;7,0\n4;x\n",
            {"sep": ";"},
            "the target 'y' holds what looks like numbers, but is text: line 2 ('12,86'), line 3 ('0,57'), "
            "line 4 ('7,0') and 1 more; say decimal: \",\" if",
        ),
        (
            "a;y\n1;12,86\n2;0,57\n3;?\n",
            {"sep": ";", "decimal": ","},
            "the target 'y' holds numbers, but text in line 4 ('?'); correct",
        ),
        ("a,y\n1,9.99 €\n1,8.99 €\n", {}, "what looks like numbers, but is text: line 2 ('9.99 €'), line 3"),
        (
            "a,y\n" + "".join(f"1,name{i}\n" for i in range(11)),
            {},
            "the target 'y' holds 11 different texts in 11 samples: line 2 ('name0'), line 3 ('name1'), l",
        ),
        (
            'a,b,y\n"1,5",2,0.5\n"2,5",?,0.5\n',
            {},
            "'a' holds text in line 2 ('1,5'), line 3 ('2,5'), where a number is needed; say decimal: \",\"",
        ),
        ("a,b\n1,2,3\n4,5,6\n", {}, "lines have more fields than the 2 columns"),
        ("a,b\n1,2\n4,5,6\n", {}, "Expected 2 fields in line 3, saw 3"),
        ('a,b\n1,"2\n', {}, "EOF inside string"),
        ("a,b\n", {}, "holds no samples: no line follows the names of the columns"),
        (b"a,b\n1,\xe4\n", {}, "is not UTF-8 text; save it as such"),
    ],
)
def test_what_is_wrong_in_a_table_is_said_with_its_line(
    folder: Path, text: str | bytes, options: dict[str, Any], said: str
) -> None:
    path = table(folder, text)
    with pytest.raises(ModelError, match=re.escape(said)) as caught:
        csv(path, **options)
    assert path in str(caught.value)
    assert not isinstance(text, str) or csv_problem(path, options) is None


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (IRIS, {"target": "kin"}, "target: there is no column 'kin' in FILE (did you mean \"kind\"?); there"),
        (IRIS, {"target": ["width", "size"]}, "target: there is no column 'size' in FILE; there are length"),
        (IRIS, {"drop": ["widht"]}, "drop: there is no column 'widht' in FILE (did you mean \"width\"?)"),
        (IRIS, {"one_hot": "Kind"}, "one_hot: there is no column 'Kind' in FILE (did you mean \"kind\"?)"),
        (IRIS, {"drop": ["kind", "kind"]}, "the column 'kind' stands twice under drop; it has one place"),
        (IRIS, {"target": "kind", "drop": "kind"}, "the column 'kind' stands under target and drop; it has"),
        (IRIS, {"drop": "width", "one_hot": ["width"]}, "the column 'width' stands under drop and one_hot"),
        (IRIS, {"drop": ["length", "width"]}, "FILE has no column to predict from: there is only length"),
        (IRIS, {"target": ["length", "width"], "classes": True}, "classes: true stands beside 2 targets; on"),
        (IRIS, {"decimal": ","}, "a comma can't stand both between two columns (sep) and before a frac"),
        ("y\n1\n", {}, "FILE has no column to predict from: there is only y"),
        ("a;b\n1;2\n", {}, "there is only a;b; are columns separated by ';'? Then say so by sep"),
        ("a\tb\n1\t2\n", {}, r"are columns separated by '\t'? Then say so by sep"),
        (",a,b\n0,1,2\n", {}, "FILE: column 1 has no name; if it only numbers the lines, leave it out"),
        ("a,b,\n0,1,\n", {}, "numbers the lines, leave it out by drop: ['Unnamed: 2']"),
        ("a,b,a,a\n1,2,3,4\n", {}, "FILE has 3 columns called 'a'; give each its own name"),
        ("5.1,3.5,0\n4.9,3,1\n", {}, "FILE begins with the numbers 5.1, 3.5, 0 where the names of the"),
        ("", {}, "FILE is empty; its first line must hold the names of the columns"),
        ("\n \n", {}, "FILE is empty;"),
        (b"\xff\xfea\x00,\x00b\x00\n\x00", {}, "FILE is not UTF-8 text"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_columns_is_known_before_anything_is_submitted(
    folder: Path, text: str | bytes, options: dict[str, Any], said: str
) -> None:
    path = table(folder, text)
    problem = csv_problem(path, options)
    assert said.replace("FILE", path) in str(problem)
    with pytest.raises(ModelError) as caught:
        csv(path, **options)
    assert str(caught.value) == problem


def test_a_column_without_a_name_can_be_left_out(folder: Path) -> None:
    path = table(folder, ",a,b\n0,1,0.5\n1,2,0.5\n")
    assert csv_problem(path, {"drop": ["Unnamed: 0"]}) is None
    assert csv(path, drop=["Unnamed: 0"])[0].tolist() == [[1], [2]]


@pytest.mark.parametrize("header", ["0,1,2", "1,2,3", "2000,2001,y"])
def test_numbers_that_count_the_columns_are_names(folder: Path, header: str) -> None:
    path = table(folder, f"{header}\n3,4,0.5\n")
    assert csv_problem(path, {}) is None
    assert csv(path)[0].tolist() == [[3, 4]]


def test_of_many_columns_some_are_shown(folder: Path) -> None:
    path = table(folder, ",".join(f"c{index}" for index in range(785)) + "\n")
    problem = str(csv_problem(path, {"target": "label"}))
    assert problem.endswith("there are " + ", ".join(f"c{index}" for index in range(20)) + ", … (785 in all)")


def test_the_columns_are_gone_through_but_once(folder: Path) -> None:
    """Or a table of 30,000 columns takes minutes."""

    class Names(list[str]):
        def __contains__(self, name: object) -> bool:
            raise AssertionError(f"all columns are looked through for {name!r}")

        count = index = __contains__  # type: ignore[assignment]

    names = Names([*(f"c{index}" for index in range(50)), "y"])
    drop, one_hot = ["c3", "c4"], ["c5", "c6"]
    options: dict[str, Any] = {"target": "y", "drop": drop, "one_hot": one_hot}
    assert columns_problem(folder / "table.csv", names, options) is None
    path = table(folder, f"{','.join(names)}\n" + "\n".join(",".join(["1"] * 51) for _ in range(3)) + "\n")
    assert csv(path, **options)[0].shape == (3, 46 + 2)


def test_only_the_first_line_of_a_table_is_read_before_it_is_submitted(folder: Path) -> None:
    path = table(folder, b"a,b\n" + b"1,2\n" * 100_000 + b"\xff\xff\n")
    assert csv_problem(path, {"target": "b"}) is None


@pytest.mark.parametrize("function", [csv_problem, npz_problem])
def test_a_file_that_is_not_there_is_said(folder: Path, function: Any) -> None:
    table(folder, IRIS, "measured.csv")
    problem = function(str(folder / "mesured.csv"), {})
    assert problem == f'there is no file {folder / "mesured.csv"} (did you mean "measured.csv"?)'
    assert function(str(folder / "nowhere" / "a.csv"), {}).endswith("a.csv")
    assert function(str(folder), {}) == f"{folder} is a folder, not a file"


def test_a_path_may_begin_with_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    table(folder, IRIS)
    assert csv_problem("~/table.csv", {}) is None
    assert len(csv("~/table.csv")[0]) == 3


def test_options_of_the_wrong_kind_are_left_to_their_own_check(folder: Path) -> None:
    path = table(folder, IRIS)
    for sep in ("", ",,", 3, None, '"', "\n"):
        assert csv_problem(path, {"sep": sep}) is None
    assert "there is no column '3'" in str(csv_problem(path, {"target": 3}))
    assert csv_problem(path, {"train": 5, "test_split": 0.2, "classes": "perhaps"}) is None


# Arrays

X, Y = np.arange(12.0).reshape(4, 3), np.array([0, 1, 1, 0])


def arrays(folder: Path, **named: Any) -> str:
    path = folder / "arrays.npz"
    np.savez(path, **named)
    return str(path)


def test_arrays_may_come_whole(folder: Path) -> None:
    path = arrays(folder, x=X, y=Y, x_train=X[:1], y_train=Y[:1])
    assert npz_problem(path, {}) is None
    x, y = npz(path)
    assert np.array_equal(np.asarray(x), X)
    assert np.array_equal(np.asarray(y), Y)


def test_arrays_may_have_names_of_their_own(folder: Path) -> None:
    path = arrays(folder, images=X, labels=Y)
    assert npz_problem(path, {"x": "images", "y": "labels"}) is None
    x, y = npz(path, x="images", y="labels")
    assert (np.shape(x), np.shape(y)) == ((4, 3), (4,))


@pytest.mark.parametrize(
    ("prefixes", "parts"),
    [
        (("x", "y"), ["train"]),
        (("x", "y"), ["train", "test"]),
        (("x", "y"), ["train", "validation"]),
        (("x", "y"), ["train", "validation", "test"]),
        (("images", "labels"), ["train", "test"]),
    ],
)
def test_arrays_may_come_in_parts(folder: Path, prefixes: tuple[str, str], parts: list[str]) -> None:
    first, second = prefixes
    named = {f"{first}_{part}": X[: n + 1] for n, part in enumerate(parts)}
    path = arrays(folder, **named, **{f"{second}_{part}": Y[: n + 1] for n, part in enumerate(parts)})
    options = {} if prefixes == ("x", "y") else {"x": first, "y": second}
    assert npz_problem(path, options) is None
    found = npz(path, **options)
    assert isinstance(found, dict)
    assert list(found) == parts
    assert [(len(x), len(y)) for x, y in found.values()] == [(n + 1, n + 1) for n in range(len(parts))]


@pytest.mark.parametrize(
    ("named", "options", "said"),
    [
        ({"a": X, "b": Y}, {}, "neither 'x' and 'y' in FILE nor 'x_train' and 'y_train'; there are a, b."),
        ({"a": X}, {}, "there are a. Say by x and y which hold the inputs and the targets"),
        ({}, {}, "; there are no arrays."),
        ({"x": X, "Y": Y}, {}, "there is 'x' in FILE, but no 'y'; there are x, Y"),
        ({"y": Y, "x1": X}, {}, "there is 'y' in FILE, but no 'x' (did you mean \"x1\"?); there are y, x1"),
        ({"x": X, "y": Y}, {"x": "inputs"}, "there is 'y' in FILE, but no 'inputs'; there are x, y"),
        ({"x": X, "y": Y}, {"x": "a", "y": "b"}, "neither 'a' and 'b' in FILE nor 'a_train' and 'b_train'"),
        ({"x_train": X, "y_test": Y}, {}, "there is 'x_train' in FILE, but no 'y_train' (did you mean"),
        ({"x_train": X, "y_train": Y, "x_test": X}, {}, "there is 'x_test' in FILE, but no 'y_test'"),
        ({"x_test": X, "y_test": Y}, {}, "there are neither 'x' and 'y' in FILE nor 'x_train' and 'y_train'"),
    ],
)  # fmt: skip
def test_arrays_that_are_missing_are_named(
    folder: Path, named: dict[str, Any], options: dict[str, str], said: str
) -> None:
    path = arrays(folder, **named)
    problem = npz_problem(path, options)
    assert said.replace("FILE", path) in str(problem)
    with pytest.raises(ModelError) as caught:
        npz(path, **options)
    assert str(caught.value) == problem


def test_python_objects_are_never_unpickled(folder: Path) -> None:
    path = arrays(folder, x=np.array([{}, []], dtype=object), y=np.array([0, 1]))
    with pytest.raises(ModelError, match="can't be read: Object arrays cannot be loaded"):
        npz(path)


def test_what_is_no_archive_of_arrays_is_said(folder: Path) -> None:
    np.save(folder / "one.npy", X)
    for path in (str(folder / "one.npy"), table(folder, IRIS, "table.npz"), table(folder, b"", "empty.npz")):
        assert (
            npz_problem(path, {})
            == f"{path} is no .npz file, as numpy.savez writes it: File is not a zip file"
        )
        with pytest.raises(ModelError, match=r"is no \.npz file"):
            npz(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_archive_is_said(folder: Path, save: Any) -> None:
    path = folder / "arrays.npz"
    save(path, x=np.random.default_rng(0).random((100, 9)), y=np.zeros(100))
    content = bytearray(path.read_bytes())
    content[300:3000] = bytes(2700)
    path.write_bytes(content)
    assert npz_problem(str(path), {}) is None
    with pytest.raises(ModelError, match=re.escape(f"{path} can't be read: ")):
        npz(str(path))


# Options


@pytest.mark.parametrize(
    ("function", "option", "right", "wrong"),
    [
        (csv, "target", ["a", ["a", "b"], None], [3, [], [3]]),
        (csv, "drop", ["a", ["a"], None], [True, []]),
        (csv, "classes", ["auto", True, False], ["yes", 1, None]),
        (csv, "sep", [",", "\t", " "], ["", ",,", '"', "\n", ",\n", 3]),
        (npz, "x", ["x", "images"], ["", 0]),
    ],
)
def test_options_are_checked_one_by_one(
    function: Any, option: str, right: list[Any], wrong: list[Any]
) -> None:
    parameter = signature_of(function).parameters[option]
    assert [value for value in right if parameter.problem(value) is not None] == []
    assert [value for value in wrong if parameter.problem(value) is None] == []


@pytest.mark.parametrize("function", [csv, npz])
def test_every_option_is_described_and_its_default_is_right(function: Any) -> None:
    for option, parameter in signature_of(function).parameters.items():
        assert f"    {option}: " in (inspect.getdoc(function) or "")
        assert parameter.format_type()
        assert parameter.required == (option == "path")
        assert parameter.required or parameter.problem(parameter.default) is None


def test_checking_a_file_loads_no_pandas(folder: Path) -> None:
    path, other = table(folder, IRIS), arrays(folder, x=X, y=Y)
    code = (
        "import sys\nfrom hpc.models.datasets.csv_file import csv_problem\n"
        "from hpc.models.datasets.npz_file import npz_problem\n"
        "assert csv_problem(sys.argv[1], {}) is None and npz_problem(sys.argv[2], {}) is None\n"
        "print({'pandas', 'sklearn', 'keras', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path, other], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
