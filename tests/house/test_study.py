"""A new study is a folder with one description: it is listed and reproduced without any other change."""

from __future__ import annotations

import json

TOY = '''
"""A study that needs no training."""

import json
from dataclasses import dataclass

from convatlas.base.tables import Column, Table
from convatlas.studies.study import Study, StudyResult


@dataclass(frozen=True)
class Squares(StudyResult):
    def table(self):
        return Table((Column("number", "number"), Column("square", "square")), self.rows)


def tasks(quick, seeds, rows):
    return [(number, seed) for number in (3, 2) for seed in range(seeds)]


def run(task, output):
    number, seed = task
    return {"number": number, "seed": seed, "square": number**2}


def summarize(outcomes):
    return sorted(({"number": o["number"], "square": o["square"]} for o in outcomes), key=lambda row: row["number"])


def draw(folder, rows, suffix):
    (folder / f"toy{suffix}.svg").write_text("<svg/>")


STUDY = Study("toy", "squares of numbers", 1, lambda: None, tasks, run, summarize, Squares, draw)
'''


def test_a_study_is_one_folder(house, tmp_path):
    house.add("studies/toy_numbers/__init__.py", '"""A toy."""\n')
    house.add("studies/toy_numbers/study.py", TOY)
    assert {"study": "toy", "shows": "squares of numbers"} in json.loads(house.command("reproduce", "--json"))
    table = house.command("reproduce", "toy", "-o", str(tmp_path / "runs"), "--csv")
    assert table.splitlines() == ["number,square", "2,4", "3,9"]
    rows = json.loads((tmp_path / "runs" / "toy.json").read_text())["rows"]
    assert rows == [{"number": 2, "square": 4}, {"number": 3, "square": 9}]
    assert (tmp_path / "runs" / "toy.svg").exists()
