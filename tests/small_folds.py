"""What makes a configuration with folds train on the three small ones of `tests/datasets`."""

FIELDS = (
    "data.num_folds=3",
    "data.validation_fraction=0.25",
    "data.expressions.dataset=drawn_folds",
    "data.faces.dataset=drawn_folds",
    "data.faces.follow_folds=true",
    "data.faces.split=",
)
FOLDS = ("fold_0", "fold_1", "fold_2")
