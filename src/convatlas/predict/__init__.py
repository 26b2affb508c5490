"""Run nets on photos: classify, detect, evaluate accuracy, and draw what happens inside."""
