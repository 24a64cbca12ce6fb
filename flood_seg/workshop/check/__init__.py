"""The check of a data set: what is wrong with its files, pairs and splits, and a corrected copy."""
