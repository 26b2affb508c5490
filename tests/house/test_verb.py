"""A new verb is two files: its own, and the front door's table; the command line makes its command."""

from __future__ import annotations

import json

from tests.house.conftest import House

VERB = '''"""Count the letters of a name."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.base.errors import ConvAtlasError
from convatlas.base.records import Record
from convatlas.base.verbs import Steps, verb


@dataclass(frozen=True)
class Count(Record):
    """Letters of a name."""

    letters: int

    def __str__(self) -> str:
        return f"{self.letters} letters"


@verb
def spell(net: str, *, times: int = 1, vowels: bool = False) -> Steps[Count]:
    """Count the letters of a net's name.

    Args:
        net: Name of a net.
        times: How often each letter counts,
            from 1 up.
        vowels: Whether to count vowels only.

    Raises:
        ConvAtlasError: It counts less than once.
    """
    if times < 1:
        raise ConvAtlasError(f"times is a number from 1 up; got {times}")
    letters = [letter for letter in net if not vowels or letter in "aeiou"]
    for number in range(1, len(letters)):
        yield number, len(letters), None
    yield len(letters), len(letters), Count(times * len(letters))
'''


def test_a_verb_is_two_files(house: House) -> None:
    house.add("nets/spell.py", VERB)
    front = house.path / "__init__.py"
    text = front.read_text("utf-8")
    assert text.count("VERBS = {\n") == 1
    front.write_text(text.replace("VERBS = {\n", 'VERBS = {\n    "spell": "nets.spell",\n'), "utf-8")
    assert house.run("import convatlas as ca; print('spell' in ca.__all__, ca.spell('alexnet', times=2))") == (
        "True 14 letters\n"
    )
    assert "Count the letters of a net's name." in house.command("--help")
    help = " ".join(house.command("spell", "--help").replace("│", " ").split())
    assert "Name of a net." in help
    assert "How often each letter counts, from 1 up." in help
    assert house.command("spell", "alexnet", "--times", "3", "--vowels") == "9 letters\n"
    assert json.loads(house.command("spell", "alexnet", "--json"))["letters"] == 7


def test_a_command_of_its_own_is_found(house: House) -> None:
    house.add(
        "cli/commands/greet.py", 'def command(name: str) -> None:\n    """Greet."""\n    print(f"hello {name}")\n'
    )
    assert "Greet." in house.command("--help")
    assert house.command("greet", "you") == "hello you\n"
