"""Names of the calls by which values leave PyTorch, and come back."""

COPIES = ("numpy", "tolist", "array", "dlpack")
"""Methods that give whole tensors to NumPy, to lists, or to another library."""

NUMBERS = ("item", "float", "int", "bool", "complex", "index", "local_scalar_dense", "is_nonzero")
TESTS = ("equal", "allclose", "contains")
MEMORY = ("data_ptr", "storage", "untyped_storage", "cuda_array_interface")

LEAVE = (*COPIES, *NUMBERS, *TESTS, *MEMORY)
"""Methods and functions by which values become Python's numbers, decisions, or memory that anything can read."""

RETURN = ("tensor", "as_tensor", "asarray", "from_dlpack")
"""Functions by which values may return to PyTorch."""
