"""A recipe refuses invalid settings in one line, and survives a round trip through JSON and TOML."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from convatlas.base.errors import ConvAtlasError
from convatlas.cli.commands.train import command as train
from convatlas.training.recipe import Recipe, read_settings


def test_there_and_back(tmp_path):
    recipe = Recipe(epochs=3, freeze=("stem", "block*"), lr=0.1, deslant=True)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    (tmp_path / "run.toml").write_text('epochs = 3\nlr = 1\nfreeze = ["stem"]\n')
    assert Recipe.from_dict(read_settings(tmp_path / "run.toml")) == Recipe(epochs=3, lr=1, freeze=("stem",))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epochs": 0}, "epochs is a whole number from 1 up; got 0"),
        ({"epochs": 1.5}, "epochs is of type int, as 10; got 1.5"),
        ({"epochs": True}, "whole number"),
        ({"lr": 0.0}, "lr is a number above 0"),
        ({"lr": float("nan")}, "lr is a number above 0; got nan"),
        ({"lr": "fast"}, "lr is of type float, as 0.001; got 'fast'"),
        ({"momentum": 1.0}, "momentum is a number from 0 to less than 1"),
        ({"val_split": 1.0}, "val_split"),
        ({"hflip": 1.5}, "hflip is a number at most 1"),
        ({"aa": 31}, "1 to 30"),
        ({"opt": "sdg"}, "did you mean sgd?"),
        ({"sched": "cosin"}, "did you mean cosine?"),
        ({"learning_rate": 0.1}, "no setting of a recipe is called 'learning_rate'"),
        ({"freeze": "stem"}, "freeze is of type tuple"),
        ({"freeze": [1]}, "freeze is a list of names of modules; got [1]"),
        ({"seed": 2**63}, "below 2^63"),
    ],
)
def test_refusals(settings, said):
    with pytest.raises(ConvAtlasError, match=re.escape(said)):
        Recipe.from_dict(settings)


def test_config_files_that_are_none(tmp_path):
    for text in (None, "epochs = "):
        path = tmp_path / "bad.toml"
        if text is not None:
            path.write_text(text)
        with pytest.raises(ConvAtlasError, match="cannot be read as settings"):
            read_settings(path)


def test_the_command_has_every_setting():
    assert {field.name for field in dataclasses.fields(Recipe)} <= set(train.__annotations__)


def test_every_setting_is_explained():
    for field in dataclasses.fields(Recipe):
        assert f"        {field.name}: " in Recipe.__doc__
