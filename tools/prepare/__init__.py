"""From data sets as they are downloaded to one index, VIA and COCO files, and a split."""
