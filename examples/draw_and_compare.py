"""Draw, describe and compare two nets: what squeeze-and-excitation in each block adds and costs."""

import convatlas as ca
from convatlas.anatomy.structure.dna import dna

plain, gated = ca.measure("resnet50"), ca.measure("resnet50", genes={"attention": "squeeze_excitation"})
gated.draw(expand="conv2").save("gated.svg")
ca.measure("lenet5").draw(style="boxes").save("lenet5.png")
print("\n".join(dna(gated).lines()))
print(ca.compare(plain, gated))
