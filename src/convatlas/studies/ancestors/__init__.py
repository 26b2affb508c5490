"""Cognitron and neocognitron learn digits without labels; what they learned is read out, and drawn."""
