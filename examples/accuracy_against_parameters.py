"""The atlas in one picture: published accuracy against measured parameters, one disc a net, and the front of the best.

`python examples/accuracy_against_parameters.py [FILE]` writes `accuracy_against_parameters.png`, or FILE.
"""

import sys

import convatlas as ca

choice = ca.choose(by="parameters")
print(choice)
for net in choice.front:
    print(f"{net.net:24} {net.top1:.1f}%  {net.parameters / 1e6:6.1f}M parameters  {net.macs / 1e9:6.2f}G MACs")
choice.draw().save(sys.argv[1] if len(sys.argv) > 1 else "accuracy_against_parameters.png")
