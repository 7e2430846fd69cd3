"""What curves.csv holds of an epoch, beside its number, the accuracy, and val_*."""

LOSS_PARTS = ("rpn_class", "rpn_box", "classes", "box", "mask", "image")
WORK = ("images_per_second", "wait_share", "gpu_memory_gib")
