"""Generated placements: masks of every look, worn rightly and wrongly on real faces, with the truth of every pixel.

They teach and test `pipeline.cover`. `designs` draws a mask flat, `wearing` puts it on by the plain face's landmarks,
`clutter` adds what covers a face and is no mask, `camera` spoils the picture as cameras do, and `examples` measures
the result with the landmarker, as curation will.
"""
