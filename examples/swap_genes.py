"""What a change of genes does to a net, measured before a weight exists."""

import convatlas as ca

published = ca.measure("resnet50")
swaps = {
    "published": {},
    "GELU for ReLU": {"activation": "gelu"},
    "depthwise separable": {"convolution": "separable"},
    "squeeze and excitation": {"attention": "squeeze_excitation"},
    "reflected borders, group norm": {"padding": "reflect", "normalization": "group"},
}
for what, genes in swaps.items():
    anatomy = ca.measure("resnet50", genes=genes)
    more = anatomy.parameters - published.parameters
    print(f"{what:30} {anatomy.parameters:>12,} parameters ({more:+,})  {anatomy.macs / 1e9:.2f} GMACs")

try:
    ca.build("resnet50", genes={"alignment": "valid"})
except ca.ConvAtlasError as error:
    print(error)
