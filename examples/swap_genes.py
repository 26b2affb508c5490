"""Measure how changes of genes change parameters and MACs; no weights are needed."""

import convatlas as ca

published = ca.measure("resnet50")
swaps = {
    "published": {},
    "GELU for ReLU": {"activation": "gelu"},
    "depthwise separable": {"convolution": "separable"},
    "squeeze and excitation": {"attention": "squeeze_excitation"},
    "reflected borders, group norm": {"padding": "reflect", "normalization": "group"},
}
for title, genes in swaps.items():
    anatomy = ca.measure("resnet50", genes=genes)
    difference = anatomy.parameters - published.parameters
    print(f"{title:30} {anatomy.parameters:>12,} parameters ({difference:+,})  {anatomy.macs / 1e9:.2f} GMACs")

try:
    ca.build("resnet50", genes={"alignment": "valid"})
except ca.ConvAtlasError as error:
    print(error)
