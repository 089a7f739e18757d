"""The page that shows which images were kept and why, where limits can be moved and verdicts overruled."""
