"""Detectors: their boxes as targets, and probes of boxes.

There is no Grad-CAM for boxes of its own: `grad_cam`, like all probes of gradients and relevance, takes a box as target
("box:0") and explains at the head that the box belongs to. A box depends on few places of that head, over which
Grad-CAM averages its gradient; `hires_cam` and `element_wise_grad_cam` keep the places apart.
"""
