"""Grids of finetunings: their trials, how long they take, which settings halving keeps."""
