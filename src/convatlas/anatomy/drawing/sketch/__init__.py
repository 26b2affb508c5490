"""What is drawn of a stage, without places: units, forks, graphs and repeats."""
