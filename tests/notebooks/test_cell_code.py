"""IPython syntax never breaks parsing, and never changes what is not IPython syntax."""

import ast

import pytest

from notebooks_lib.notebooks import cell_code


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("%matplotlib inline\nx = 1", ["x = 1"]),
        ("!pip install a \\\n  b\nx = 1", ["x = 1"]),
        ("if x:\n    !ls\n    y = 1", ["if x:\n    pass\n    y = 1"]),
        ("files = !ls *.csv\ny = 1", ["files = get_ipython().getoutput('ls *.csv')", "y = 1"]),
        ("v = %sql select 1", ["v = get_ipython().run_line_magic('sql select 1')"]),
        ("df?\nx = 1\nstr.join??\n?abs", ["pass", "x = 1", "pass", "pass"]),
        ("%%time\nx = 1", ["x = 1"]),
        ("\n\n%%capture out\nx = 1", ["x = 1"]),
        ("%%bash\necho 'it''s' (", []),
        ("%%html\n<b>", []),
        ("%time x = fit()\n%timeit y", ["x = fit()", "pass"]),
        ('text = """\n!not a command\n%d\n"""\n!ls', ["text = '\\n!not a command\\n%d\\n'", "pass"]),
        ("y = (10\n  % 3)\n%time", ["y = 10 % 3", "pass"]),
        ("y = [\n  'a',  # (\n]\n%who", ["y = ['a']", "pass"]),
        ("s = 'a\\'#'\n!ls", ['s = "a\'#"', "pass"]),
        ("  x = 1\n  !ls", ["x = 1", "pass"]),
        (" %%time\nx = 1", ["x = 1"]),
        ("    x = 1\n  # less\n    y = 2", ["x = 1", "y = 2"]),
        (">>> if x:\n...     y = 1\n...\n>>> !ls", ["if x:\n    y = 1", "pass"]),
        ("In [1]: if x:\n   ...:     y = 1\nIn [2]: %who", ["if x:\n    y = 1", "pass"]),
        ("%%capture got\n%%sh\necho it's --force", []),
        ("%%time\n\n%%bash\nls -l | (", []),
        ("%md\n# Title\nit's text", []),
        ("%sql\nselect * from t", []),
        ("%sql select 1\nx = 1", ["x = 1"]),
        ("%python\nx = 1", ["x = 1"]),
        ("mkdir -p out\ncd out\nprint(a)", ["print(a)"]),
        ("pip install -q x\nls\ntime = 3\nls = [1]\nwho", ["time = 3", "ls = [1]"]),
        ("cd ..\ncat a.txt\nrm -rf x y\nmatplotlib inline\nload_ext autoreload\nx = 1", ["x = 1"]),
        ("np.*load*?\na[0].b?\n*int*?\ndf.head?;\nx = 1", ["x = 1"]),
        ("%time x = fit(1,\n  2)\n!ls", ["x = fit(1, 2)", "pass"]),
        ("await f()\n!ls", ["await f()", "pass"]),
        ("a = 1 \\\n  + 2\n!echo \"it's", ["a = 1 + 2", "pass"]),
    ],
)
def test_ipython_lines_are_replaced_and_python_is_kept(source, kept):
    code = cell_code.read_code(source)
    assert code.tree is not None, code.error
    found = [ast.unparse(node) for node in code.tree.body]
    assert found == kept or [line for line in found if line != "pass"] == kept
    assert code.text.count("\n") == source.count("\n"), "line numbers stay"


def test_the_magic_lines_are_reported_with_their_numbers():
    assert cell_code.read_code("x = 1\n!pip install a \\\n  b\n%who").magics == ((2, "!pip install a b"), (4, "%who"))


@pytest.mark.parametrize(
    "source", ["x = 7 % 3", "a != b", "f(7\n%d)", "x = '%s'\n", "", "# !ls", "less - 3", "more\n", "'''\n%x\n'''"]
)
def test_python_is_left_as_it_is(source):
    code = cell_code.read_code(source)
    assert (code.text, code.magics) == (source, ())
    assert code.tree is not None


@pytest.mark.parametrize(
    "source",
    [
        "run = = 3",
        "ls and",
        "print x",
        "x = (",
        "def f(:",
        "x = 'a\0'",
        "(" * 5000,
        "x = " + "9" * 5000,
        "1 +\n%",
        "\ud800",
    ],
)
def test_a_syntax_error_is_returned_and_not_raised(source):
    code = cell_code.read_code(source)
    assert code.tree is None
    assert code.error


def test_an_invalid_escape_is_not_an_error():
    assert cell_code.read_code(r"x = '\d'").tree is not None


def test_a_giant_string_before_a_magic_is_read_fast():
    code = cell_code.read_code('x = """' + "a'\\\"" * 50_000 + '"""\n!ls')
    assert code.tree is not None
