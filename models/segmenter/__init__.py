"""The small network behind `pipeline.cover`: which pixels of an aligned face does a mask cover?"""
