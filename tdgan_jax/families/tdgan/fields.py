"""Fields that all TDGAN configurations share; the values are the papers' (spec TDGAN 3 to 7)."""

from ml_collections import ConfigDict

from tdgan_jax.configuration import Config, unknown_variant
from tdgan_jax.families.loop_fields import (
    Limits,
    evaluation_fields,
    general_fields,
    log_fields,
    log_of_tiny,
    parallel_fields,
    ten_folds,
)

LIMITS: Limits = {
    "model.width_multiplier": (1 / 64, 8),
    "model.num_inception_blocks": (1, 16),
    "model.noise_channels": (0, 2**14),
    "model.num_residual_convolutions": (0, 64),
    "data.faces.num_identities": (0, 10**7),
    "data.augmentation.rotation_degrees": (0, 180),
    "data.augmentation.contrast": (0, 1),
    "data.augmentation.erased_side": (0, 1),
    "training.face_discriminator_gap": (1, 10**9),
    "training.expression_discriminator_gap": (1, 10**9),
    "training.discriminator_warmup_steps": (0, 10**9),
    "training.classifier_epochs": (0, 10**6),
    "learning_rate.face_encoder": (0, 100),
    "learning_rate.expression_encoder": (0, 100),
    "learning_rate.expression_head": (0, 100),
    "learning_rate.decoder": (0, 100),
    "learning_rate.face_discriminator": (0, 100),
    "learning_rate.expression_discriminator": (0, 100),
    "learning_rate.realism_critic": (0, 100),
    "learning_rate.identity_adversary": (0, 100),
    "loss.adversarial_face_weight": (0, 1e6),
    "loss.adversarial_expression_weight": (0, 1e6),
    "loss.perceptual_weight": (0, 1e6),
    "loss.consistency_weight": (0, 1e6),
    "loss.label_gradient_weight": (0, 1e6),
    "loss.realism_weight": (0, 1e6),
    "loss.realism_gradient_penalty": (0, 1e6),
    "loss.identity_confusion_weight": (0, 1e6),
    "loss.coarse_share": (0, 1),
}


def tdgan_config() -> Config:
    """TDGAN as released: full size, faithful schedule and routing; data sets are left open."""
    config = general_fields()

    config.model = ConfigDict()
    config.model.image_size_px = 128
    config.model.image_channels = 1  # 1: gray, 3: colour
    config.model.width_multiplier = 1.0  # of all layers, heads included
    config.model.num_inception_blocks = 4  # of each encoder
    config.model.noise_channels = 256  # N_z
    config.model.num_residual_convolutions = 6  # N_b
    config.model.dropout_rate = 0.5
    config.model.upsampling = "transposed"  # or "resize": no grid
    config.model.decoder_norm = "instance"  # or "pixel": keeps the means of the channels
    config.model.decoder_sees_face = False  # True: it changes the face image

    config.data = ConfigDict()
    config.data.directory = ""  # prepared datasets; "": TFDS's default
    config.data.faces = ConfigDict()
    config.data.faces.dataset = ""
    config.data.faces.builder_config = ""  # "": the dataset's first one
    config.data.faces.split = "train"
    # True: the faces are all images of the people who train the expression branch (the training
    # split or folds without those who validate); split is "".
    config.data.faces.follow_folds = False
    config.data.faces.num_identities = 0  # the first so many people; 0: all of them
    config.data.expressions = ConfigDict()
    config.data.expressions.dataset = ""
    config.data.expressions.builder_config = ""
    config.data.expressions.train_split = "train"
    config.data.expressions.test_split = "test"
    config.data.num_folds = 0  # of a cross-validation; 0: the two splits above
    config.data.fold = -1  # the one to run; -1: all of them
    config.data.test_transform = "resize"  # "resize": whole image; "centre_crop": as trained
    # What validates: "subjects": some of the training subjects; "next_fold": the fold after the
    # test fold (IF-GAN's 8/1/1); "none": no subjects, all of them train (TDGAN's 9/1).
    config.data.validation = "subjects"
    config.data.validation_fraction = 0.1  # of the training examples, for "subjects"
    config.data.pairing = "fixed"  # or "random": anew each epoch
    # Of the expression images, besides random crop and flip; 0: none of it, as released.
    config.data.augmentation = ConfigDict()
    config.data.augmentation.rotation_degrees = 0.0  # largest angle
    config.data.augmentation.contrast = 0.0  # largest change of contrast and brightness, 0 to 1
    config.data.augmentation.erased_side = 0.0  # largest side of a gray square, part of the image's
    config.data.augment_faces = False  # random crop and flip for the face branch too
    config.data.pad_last_batch = False  # False: the rest of an epoch's shuffle is dropped
    config.data.memory_limit_bytes = 4 * 2**30  # larger splits are decoded anew each time
    config.data.num_workers = 0  # worker processes; 0: threads
    config.data.allow_different_crops = False  # of faces and expressions, both cut out by prepare

    config.training = ConfigDict()
    config.training.epochs = 100
    config.training.batch_size = 32  # over all devices
    config.training.face_discriminator_gap = 5  # steps between its updates
    config.training.expression_discriminator_gap = 10
    # First steps without generator updates, both discriminators updated each time.
    config.training.discriminator_warmup_steps = 0
    # First epochs in which the expression encoder and head alone learn, as the plain classifier;
    # the expression discriminator and the realism critic then begin with their weights.
    config.training.classifier_epochs = 0
    # Run folder of the plain classifier with which the expression branch and the expression
    # discriminator begin; "": random weights.
    config.training.classifier_run = ""

    config.learning_rate = ConfigDict()  # of Adam, by network; 0: it stays as it is
    config.learning_rate.face_encoder = 1e-4
    config.learning_rate.expression_encoder = 1e-4
    config.learning_rate.expression_head = 1e-4
    config.learning_rate.decoder = 1e-4
    config.learning_rate.face_discriminator = 1e-4
    config.learning_rate.expression_discriminator = 1e-4
    config.learning_rate.realism_critic = 1e-4  # where its loss has a weight, as of the next
    config.learning_rate.identity_adversary = 1e-4

    config.loss = ConfigDict()
    config.loss.adversarial_face_weight = 0.2  # lambda_G_f
    config.loss.adversarial_expression_weight = 0.8  # lambda_G_e
    config.loss.perceptual_weight = 1.0  # lambda_per_f
    config.loss.consistency_weight = 5.0  # lambda_DIC
    # Weight of the label loss in the expression encoder; 0: the head alone learns from labels.
    config.loss.label_gradient_weight = 0.0
    config.loss.perceptual_network = "face_discriminator"  # or "face_encoder"
    # Beyond the paper, off: see families/tdgan/critics.py and objective.py.
    config.loss.realism_weight = 0.0  # of a critic that sees generated images and expressions
    config.loss.realism_gradient_penalty = 0.0  # R1 of that critic
    config.loss.identity_confusion_weight = 0.0  # keeps the person out of the expression feature
    config.loss.coarse_share = 0.0  # of the expression discriminator's images at half resolution

    # evaluation.selection=test is the released program's habit.
    config.evaluation = evaluation_fields(batch_size=64)
    config.evaluation.yardsticks = False  # simple classifiers beside the result

    config.log = log_fields()
    config.parallel = parallel_fields()
    # Whether the encoders compute the inside of their layers again for the gradient: less memory.
    config.parallel.rematerialise = False
    return config


def cross_validate_in_the_lab(config: Config) -> None:
    """Ten folds by subject and the images of sets from the laboratory (spec TDGAN 6.2 and 9)."""
    ten_folds(config)
    config.data.test_transform = "centre_crop"


def reduce_for_cpu(config: Config) -> None:
    """A quarter of the width at 64x64 pixels, in batches of 16: what two CPU cores can train."""
    config.model.image_size_px = 64
    config.model.width_multiplier = 0.25
    config.model.noise_channels = 64
    config.training.batch_size = 16


def learn_from_labels(config: Config, *, discriminator_gap: int) -> None:
    """Settings for some hundred or thousand steps instead of the papers' 38,400.

    Args:
        config: Changed in place.
        discriminator_gap: Steps between the updates of both discriminators.
    """
    config.loss.label_gradient_weight = 1.0
    config.model.dropout_rate = 0.1
    config.training.face_discriminator_gap = discriminator_gap
    config.training.expression_discriminator_gap = discriminator_gap
    # 1e-3 and more keep the classifiers at chance. The face discriminator stays at 1e-4: it must
    # not run away from the generator.
    for network in config.learning_rate:
        if network not in ("face_discriminator", "realism_critic", "identity_adversary"):
            config.learning_rate[network] = 5e-4


def draw_visible_expressions(config: Config) -> None:
    """Settings beyond the paper for expressions that a person sees on the generated face.

    docs/tdgan.md has each of them with its source; `training.classifier_epochs` is left to the
    configuration.
    """
    learn_from_labels(config, discriminator_gap=1)
    config.data.faces.follow_folds = True  # the critic must not tell people instead of expressions
    config.data.faces.split = ""
    config.model.upsampling = "resize"
    config.model.decoder_norm = "pixel"
    config.model.decoder_sees_face = True
    config.model.noise_channels = 0
    config.data.pairing = "random"
    # Who it is stands in the face image: this discriminator serves the perceptual loss alone.
    config.training.face_discriminator_gap = 5
    config.loss.adversarial_face_weight = 0.0
    config.loss.adversarial_expression_weight = 0.5
    config.loss.realism_weight = 1.0
    config.loss.realism_gradient_penalty = 0.02
    config.loss.identity_confusion_weight = 0.1
    config.loss.coarse_share = 0.5
    config.learning_rate.realism_critic = 5e-4
    config.learning_rate.identity_adversary = 5e-4
    # The best recogniser need not be the best generator.
    config.evaluation.selection = "last"


def shrink_to_tiny(config: Config) -> Config:
    """The same structure at the smallest size: drawn faces, seconds to run, for tests and tries."""
    config.name += "_tiny"
    config.model.image_size_px = 32
    config.model.width_multiplier = 1 / 16
    config.model.noise_channels = 4
    config.model.num_inception_blocks = 1
    config.model.num_residual_convolutions = 1
    config.training.epochs = 2
    config.training.batch_size = 4
    config.training.face_discriminator_gap = 2
    config.training.expression_discriminator_gap = 2
    log_of_tiny(config)
    return config


def full_size_or_tiny(config: Config, variant: str) -> Config:
    """The configuration as it is, or for the variant "tiny" the smallest size of it.

    Raises:
        UsageError: If the variant is another one.
    """
    if variant == "tiny":
        return shrink_to_tiny(config)
    if variant:
        raise unknown_variant(variant, ("tiny",))
    return config
