"""Classify two sample photos with pretrained weights."""

import convatlas as ca
from convatlas.images.samples import sample

net = ca.load("efficientnet_lite0")
print(net.lineage.source, net.lineage.licence)
for name in ("coffee", "chelsea"):
    print(ca.classify(sample(name), net, top=3))
