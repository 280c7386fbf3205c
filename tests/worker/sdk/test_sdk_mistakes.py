"""What a beginner gets wrong, seen as the beginner sees it: the line of their own code, and what to do."""

from __future__ import annotations

from typing import Any

import pytest

from dagy.cli import main

HEAD = """
from dagy import DAG, flow, task

@task
def extract(source: str) -> list[int]:
    return [1, 2]

@task
def load(data: list[int], limit: int = 3) -> int:
    return len(data)

"""
VALUE = "it has no value yet. Do that inside a task that is given the output as an argument"


def in_flow(*lines: str) -> str:
    return HEAD + "@flow\ndef etl(source: str = 'x'):\n    " + "\n    ".join(lines)


def in_dag(*lines: str, after: str = "") -> str:
    return HEAD + "with DAG('etl') as dag:\n    " + "\n    ".join(lines) + "\n" + after


MISTAKES = {
    "a call left out of the with block": (
        in_dag("d = extract('{{ parameters.source }}')", after="load(d)"),
        "load(d)",
        "task 'load' was given the output of task 'extract', but is called outside of flow 'etl': move the call",
    ),
    "another engine's template": (
        in_dag("extract('{{ params.source }}')"),
        "with DAG('etl') as dag:",
        "task 'extract': template '{{ params.source }}' is not understood: write {{ parameters.name }}",
    ),
    "a template with brackets": (
        in_dag("extract('{{ parameters[0] }}')"),
        "with DAG('etl') as dag:",
        "template '{{ parameters[0] }}' is not understood: write {{ parameters.name }}",
    ),
    "a template in a function": (
        in_flow("return extract('{{ parameters.source }}')"),
        "",
        "task 'extract' is given the template '{{ parameters.source }}', but templates are for `with DAG(...)` flows:",
    ),
    "a task that is not called": (
        in_dag("load(extract)"),
        "load(extract)",
        "task 'load' was given <task 'extract'> itself, not its output: call it, extract(...)",
    ),
    "a misspelt argument": (
        in_dag("load(extract(src='x'))"),
        "load(extract(src='x'))",
        "task 'extract': missing a required argument: 'source'. It is called as extract(source)",
    ),
    "an argument of the wrong type": (
        in_flow("return load('text')"),
        "return load('text')",
        "task 'load': data: expected list[int], got str 'text'",
    ),
    "an if on an output": (
        in_flow("if extract(source):", "    return 1"),
        "if extract(source):",
        f"the output of task 'extract' cannot be tested while the flow is being made: {VALUE}",
    ),
    "a loop over an output": (
        in_flow("return [load([n]) for n in extract(source)]"),
        "for n in extract(source)",
        f"cannot be iterated over while the flow is being made: {VALUE}",
    ),
    "unpacking an output": (
        in_flow("a, b = extract(source)"),
        "a, b = extract(source)",
        "the output of task 'extract' cannot be iterated over",
    ),
    "a method of the value": (
        in_flow("return extract(source).append(3)"),
        "return extract(source).append(3)",
        f"the output of task 'extract' has no attribute 'append' while the flow is being made: {VALUE}",
    ),
    "an output in a string": (
        in_flow("return extract(f's3://{load([1])}')"),
        "return extract(f's3://{load([1])}')",
        "the output of task 'load' cannot be put into a string",
    ),
    "comparing an output": (
        in_flow("return 1 if load([1]) == 3 else 2"),
        "return 1 if load([1]) == 3 else 2",
        "the output of task 'load' cannot be compared",
    ),
    "arithmetic with outputs": (
        in_flow("return load([1]) + load([2])"),
        "return load([1]) + load([2])",
        "the output of task 'load' cannot be computed with",
    ),
    "the length of an output": (
        in_flow("return len(extract(source))"),
        "return len(extract(source))",
        "the output of task 'extract' cannot be looked into",
    ),
    "an output as an index": (
        in_flow("return extract(source)[load([1])]"),
        "return extract(source)[load([1])]",
        "cannot be indexed with <output of task 'load'>: index it in a task that is given both",
    ),
    "an output in a set": (
        in_flow("return load({extract(source)})"),
        "return load({extract(source)})",
        "task 'load': the output of task 'extract' is inside a set, a dataclass or the key of a dict, where it cannot",
    ),
    "an output in a set that is returned": (
        in_flow("return {extract(source)}"),
        "",
        "flow 'etl': the output of task 'extract' is inside a set",
    ),
    "an output that another task was not given": (
        HEAD + "@task\ndef peek(): return kept[0]\n@flow\ndef etl():\n    global kept\n    kept = extract('x')\n"
        "    return peek()",
        "def peek(): return kept[0]",
        "the output of task 'extract' cannot be indexed in task 'peek', which was not given it: pass it as an argument",
    ),
    "a cycle": (
        in_dag("a = extract('x')", "b = load(a)", "a.after(b)"),
        "a.after(b)",
        "flow 'etl': 'extract' cannot wait for 'load': that makes the cycle extract -> load -> extract",
    ),
    "waiting for a task that is not called": (
        in_dag("extract('x').after(load)"),
        "extract('x').after(load)",
        "<output of task 'extract'> cannot wait for <task 'load'>: expected the output of a task, so call the task",
    ),
    "a chain to a task that is not called": (
        in_dag("extract('x') >> load"),
        "extract('x') >> load",
        "<task 'load'> cannot wait for <output of task 'extract'>: expected the output of a task, so call the task",
    ),
    "two tasks of one name": (
        HEAD + "@task(name='load')\ndef load_more(x): pass\nwith DAG('etl') as dag:\n    load([1])\n    load_more(1)",
        "load_more(1)",
        "Give one of them another name: @task(name=...)",
    ),
    "a DAG without a name": (
        HEAD + "with DAG('etl'):\n    extract('x')",
        "",
        "has no flow: expected a @flow function, or `with DAG(...) as dag`, at its top level",
    ),
    "a forgotten decorator": (
        HEAD + "def etl():\n    return extract('x')",
        "",
        "has no flow: expected a @flow function",
    ),
    "a flow that its file runs": (
        in_flow("return extract(source)") + "\nprint(etl.run())",
        "print(etl.run())",
        'so each import would run it: move the call under `if __name__ == "__main__":`',
    ),
    "a script that ends the program": (
        in_flow("return extract(source)") + "\nexit(0)",
        "",
        'ends the program while it is imported (sys.exit): move what a script does under `if __name__ == "__main__":`',
    ),
    "a module that is not installed": (
        "import no_such_module",
        "import no_such_module",
        "Install it here, or import it inside the task that needs it, if only the container has it",
    ),
    "a relative import without a package": (
        "from .helpers import x",
        "from .helpers import x",
        "Give its directory an __init__.py, or import without the leading dot",
    ),
    "a file that imports itself": (
        "import a_mistake\na_mistake.read()",
        "a_mistake.read()",
        "The file imports 'a_mistake', which is the file itself: rename it",
    ),
    "a syntax error": ("def broken(:", "def broken(:", "cannot be imported: SyntaxError"),
    "a name with a space": (
        HEAD + "with DAG('my etl') as dag: pass",
        "with DAG('my etl') as dag: pass",
        "flow name='my etl': expected 1 to 128 letters, digits, '.', '_' or '-', starting with a letter or digit",
    ),
    "an option of the wrong type": (
        "from dagy import task\n@task(retries='3')\ndef t(): pass",
        "@task(retries='3')",
        "task 't': retries='3': expected an integer of at least 0",
    ),
    "a hook without arguments": (
        "from dagy import task\ndef notify(): pass\n@task(on_failure=notify)\ndef t(): pass",
        "@task(on_failure=notify)",
        "task 't': on_failure: notify(): expected a function of (context, state)",
    ),
    "a name without its keyword": (
        "from dagy import flow\n@flow('etl')\ndef f(): pass",
        "@flow('etl')",
        "@flow: 'etl' is not a plain function; a flow's options have names, as in @flow(version='1.0.0')",
    ),
    "a version that means another": (
        "from dagy import flow\n@flow(version='latest')\ndef f(): pass",
        "@flow(version='latest')",
        "flow 'f': version='latest': expected any name but this one, which means the newest version",
    ),
    "a key that the value does not have": (
        in_flow("return load(extract(source)['rows'])"),
        "while looking up the output of task 'extract'['rows']",
        "flow 'etl' failed in task 'load': TypeError: list indices must be integers or slices, not str",
    ),
    "an error in the flow's function": (
        in_flow("return extract(sauce)"),
        "return extract(sauce)",
        "flow 'etl' cannot be made: NameError: name 'sauce' is not defined",
    ),
}


@pytest.mark.parametrize(("code", "shown", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_shown_in_its_place_with_what_to_do(
    code: str, shown: str, said: str, write: Any, capsys: Any
) -> None:
    assert main(["run", str(write("a_mistake.py", code))]) == 1
    *before, last = capsys.readouterr().err.splitlines()
    assert last.startswith("dagy: ")
    assert said in last
    assert not shown or any(shown in line for line in before)
    assert not [line for line in before if "worker_image/dagy/" in line]


@pytest.mark.parametrize("name", ["json.py", "dagy.py"])
def test_a_file_that_would_hide_a_module_is_refused(name: str, write: Any, capsys: Any) -> None:
    assert main(["validate", str(write(name, in_flow("return 1")))]) == 1
    assert f"has the name of the module {name[:-3]!r}, and would hide it: rename the file" in capsys.readouterr().err


def test_a_file_that_is_no_python_is_refused(write: Any, capsys: Any) -> None:
    assert main(["validate", str(write("notes.txt", ""))]) == 1
    assert "notes.txt is not a Python file: expected a name that ends with .py" in capsys.readouterr().err


def test_a_dag_without_tasks_cannot_be_built(write: Any, capsys: Any) -> None:
    file = str(write("empty_dag.py", HEAD + "with DAG('etl') as dag:\n    pass\nextract('x')"))
    for command in ("validate", "build"):
        assert main([command, file]) == 1
        assert "flow 'etl' has no tasks: call them inside its `with` block" in capsys.readouterr().err


def test_a_flow_without_a_name_of_its_own_cannot_be_built(write: Any, capsys: Any) -> None:
    assert main(["build", str(write("nameless.py", "from dagy import flow\nf = flow(lambda: 1)"))]) == 1
    assert "flow name='<lambda>': expected 1 to 128 letters" in capsys.readouterr().err
