"""The command line: a command calls the public function of its name, with the same names of arguments."""

from convatlas.cli.app import app as app
from convatlas.cli.entry import main as main
