"""The smallest net of each family, and the size it is tried at: the last map has more than one position."""

SMALL = {
    "alexnet": 96,
    "vgg16": 64,
    "resnet18": 64,
    "resnet50": 64,
    "resnet50_v2": 64,
    "inception_v1": 96,
    "inception_v3": 128,
    "inception_resnet_v2": 128,
    "xception": 64,
    "mobilenet": 64,
    "mobilenet_v2": 64,
    "shufflenet_v2_x0_5": 64,
    "densenet121": 64,
    "nasnet_mobile": 64,
    "efficientnet_b0": 64,
    "efficientnetv2_b0": 64,
    "efficientnet_lite0": 64,
    "convnext_tiny": 64,
}
