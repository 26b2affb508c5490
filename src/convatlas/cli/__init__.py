"""The command line: each command calls the public function of the same name, with the same arguments."""

from convatlas.cli.app import app as app
from convatlas.cli.entry import main as main
