"""The store: published files of this machine, whole and verified, and the times and accuracies measured on it."""
