"""The small network behind pipeline.faces.mask_coverage: it segments the mask in an aligned crop of a face."""
