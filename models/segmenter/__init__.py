"""The small network behind `pipeline.faces.mask_coverage`: which pixels of an aligned face does a mask cover?"""
