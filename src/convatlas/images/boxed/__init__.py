"""Photos with boxes around their objects, from COCO's JSON or from YOLO's text files."""
