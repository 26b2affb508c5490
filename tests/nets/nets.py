"""The smallest net of each family, and the size it is tried at: the last map has more than one position."""

CAPSULES_AND_ANCESTORS = ("capsnet", "matrix_capsnet", "matrix_capsnet_small", "cognitron", "neocognitron")

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
    "mlp_300": 28,
    "elman": 28,
    "lenet1": 28,
    "lenet5": 32,
    "boosted_lenet4": 32,
    "darknet19": 64,
    "yolo_v1_tiny": 128,
    "yolo_v3_tiny": 64,
    "capsnet": 20,
    "matrix_capsnet_small": 24,
    "neocognitron": 16,
    "cognitron": 12,
}


def answer(name: str, classes: int, size: int) -> tuple[int, ...]:
    """The shape of what a net puts out for one photo."""
    if name == "yolo_v1_tiny":
        return ((size // 64) ** 2 * (classes + 10),)
    if name == "yolo_v3_tiny":
        return (3 * ((size // 32) ** 2 + (size // 16) ** 2), 5 + classes)
    return (classes,)
