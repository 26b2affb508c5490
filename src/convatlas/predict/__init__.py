"""From a photo to an answer: classify, detect, evaluate, look inside."""
