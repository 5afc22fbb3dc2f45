"""Recipes: runnable scripts that train what methods need."""
