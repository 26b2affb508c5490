"""The study "transfer_functions": one hidden layer with each function, and nets with feedback that read rows."""
