"""Which videos there are: class folders, lists, official datasets, segments, splits."""
