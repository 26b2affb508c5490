"""File formats of weights: readers and writers, and the names that libraries give to the layers of a net."""
