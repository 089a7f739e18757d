"""The embedded sample: faces and masked faces made from two public-domain portraits, with their truth."""

from pipeline.sample.layout import SampleFile, SampleParams, sample_files

__all__ = ["SampleFile", "SampleParams", "sample_files"]
