"""Fields that all IF-GAN configurations share; the values are the paper's (spec IF-GAN 2 to 10).

What the paper leaves open is a field too, with the specification's choice as its value and the
alternatives named beside it.
"""

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

VARIANTS = ("baseline", "without_attention", "tiny")
LIMITS: Limits = {
    "model.generator_width": (1, 1024),
    "model.generator_levels": (1, 10),
    "model.generator_dropout_rate": (0, 0.99),
    "model.encoder_attention_level": (0, 10),
    "model.skip_attention_level": (0, 10),
    "model.decoder_attention_level": (0, 10),
    "model.attention_reduction": (1, 1024),
    "model.attention_chunk_size": (1, 2**20),
    "model.discriminator_width": (1, 1024),
    "model.discriminator_strided_layers": (1, 10),
    "model.classifier_depth": (1, 101),  # of those that `networks.resnet` knows
    "model.classifier_width": (1, 1024),
    "data.rotation_degrees": (0, 180),
    "optimizer.adam_beta1": (0, 0.9999),
    "optimizer.adam_beta2": (0, 0.999999),
    "optimizer.learning_rate_decay": (0, 1),
    "optimizer.learning_rate_decay_epochs": (1, 10**6),
    "learning_rate.generator": (0, 100),
    "learning_rate.discriminator": (0, 100),
    "learning_rate.classifier": (0, 100),
    "loss.adversarial_weight": (0, 1e6),
    "loss.absolute_error_weight": (0, 1e6),
    "loss.softmax_weight": (0, 1e6),
    "loss.island_weight": (0, 1e6),
    "loss.discriminator_scale": (0, 1e6),
    "loss.classifier_gradient_weight": (0, 1e6),
    "loss.island_distance_scale": (0, 1e6),
    "loss.island_pairwise_weight": (0, 1e6),
    "loss.centre_rate": (0, 1),
}


def ifgan_config() -> Config:
    """IF-GAN in full size; the data sets are left open."""
    config = general_fields()
    config.model = _model()
    config.data = _data()

    config.training = ConfigDict()
    config.training.epochs = 100
    config.training.batch_size = 50  # over all devices
    # File of a torchvision ResNet of the same depth (.pth or .safetensors), with which the paper's
    # classifier begins; "": random weights.
    config.training.imagenet_weights = ""

    config.optimizer = ConfigDict()  # Adam; the paper names one setting for all networks
    config.optimizer.adam_beta1 = 0.9
    config.optimizer.adam_beta2 = 0.99
    config.optimizer.weight_decay = 1e-4  # added to the gradient
    config.optimizer.learning_rate_decay = 0.9
    config.optimizer.learning_rate_decay_epochs = 10

    config.learning_rate = ConfigDict()  # by network
    config.learning_rate.generator = 1e-4
    config.learning_rate.discriminator = 1e-4
    config.learning_rate.classifier = 1e-4

    config.loss = _loss()

    config.evaluation = evaluation_fields(batch_size=50)

    config.log = log_fields()
    config.parallel = parallel_fields()
    # Of the batch norms: "global": the whole batch, so that results do not depend on the number of
    # devices; "device": each device's part.
    config.parallel.batch_statistics = "global"
    return config


def _model() -> Config:
    model: Config = ConfigDict()
    model.image_size_px = 224
    model.image_channels = 3  # 1: gray, 3: colour
    model.has_generator = True  # False: the baseline, the classifier alone on single images
    model.generator_width = 64  # channels of the first level
    model.generator_levels = 5  # downsamplings
    model.generator_dropout_rate = 0.0  # of the innermost decoded map; pix2pix: 0.5
    model.encoder_attention_level = 2  # of 56x56 pixels; 0: none
    model.skip_attention_level = 2
    model.decoder_attention_level = 2
    model.skip_source = "convolution"  # what the skip copies; or "attended"
    model.attention_reduction = 8  # C1 / C2
    model.attention_has_output_convolution = False  # True: one more 1x1 convolution
    model.attention_chunk_size = 448  # queries whose attention is in memory at a time
    model.discriminator_width = 64
    model.discriminator_strided_layers = 3  # patches of 70x70 pixels
    model.classifier_depth = 101  # or 10, 18, 34, 50
    model.classifier_width = 64
    # How the classifier sees a pair: "concatenation" along the channels, the "second_image" alone,
    # "shared_concatenated" or "shared_averaged" features of one network.
    model.tuple_form = "concatenation"
    model.input_normalisation = "imagenet"  # between generator and classifier; or "none"
    return model


def _data() -> Config:
    data: Config = ConfigDict()
    data.directory = ""  # prepared datasets; "": TFDS's default
    data.expressions = ConfigDict()
    data.expressions.dataset = ""
    data.expressions.builder_config = ""  # "": the dataset's first one
    data.expressions.train_split = "train"
    data.expressions.test_split = "test"
    # Datasets as NAME or NAME/CONFIG, separated by commas, which train too: posed sets with all
    # their folds, others with their training split; images of other classes are left out.
    data.additional_training_datasets = ""
    # Datasets, named likewise, whose images make the average faces; "": the training images.
    data.average_identity_datasets = ""
    # Whether the images of additional datasets count in the average faces too.
    data.average_additional_datasets = False
    data.num_folds = 0  # of a cross-validation; 0: the two splits above
    data.fold = -1  # the one to run; -1: all of them
    data.test_transform = "square_centre_crop"  # 256x256, of which the middle 224x224
    # Whom validation looks at: "subjects": some of the training subjects; "next_fold": those of the
    # fold after the test fold, as in the paper (8/1/1); "none": no subjects.
    data.validation = "subjects"
    data.validation_fraction = 0.1  # of the training examples, for "subjects"
    data.rotation_degrees = 5.0  # largest angle of the inputs; 0: none
    data.rotation = "range"  # any angle up to it; or "ends": either minus or plus the largest
    data.target_crop = "as_input"  # place and flip of the input; or "centre"
    data.pad_last_batch = False  # False: the rest of an epoch's shuffle is dropped
    data.memory_limit_bytes = 4 * 2**30  # larger splits are decoded anew each time
    data.num_workers = 0  # worker processes; 0: threads
    data.allow_different_crops = False  # of the datasets, all cut out by prepare
    return data


def _loss() -> Config:
    loss: Config = ConfigDict()
    loss.adversarial_weight = 1.0  # lambda_1
    loss.absolute_error_weight = 20.0  # lambda_2
    loss.softmax_weight = 10.0  # lambda_3
    loss.island_weight = 1.0  # lambda_4
    loss.adversarial_form = "printed"  # the generator's: log(1 - D); or "non_saturating": -log D
    loss.discriminator_scale = 1.0  # pix2pix: 0.5
    # Who judges the generator: the discriminator as just updated, or that of before the step
    # ("simultaneous").
    loss.discriminator_order = "first"
    loss.classifier_gradient_weight = 1.0  # of the classifier's losses in the generator's gradient
    loss.classifier_statistics = "drawn"  # tuples that move its running averages; or "both"
    loss.island_feature = "pooled"  # or "logits"
    loss.island_tuples = "both"  # or "drawn" or "true"
    loss.island_reduction = "sum"  # over the images, as printed; or "mean"
    loss.island_distance_scale = 1.0  # center loss: 0.5
    loss.island_pairwise_weight = 0.03  # alpha
    loss.centre_rate = 0.5  # part of the way that a batch moves the centres
    loss.centre_initialisation = "first_batch"  # its class means; or "normal": small random ones
    loss.centre_distance_reduction = "one_plus_count"  # or "count" or "sum"
    loss.centre_pairwise_reduction = "mean"  # over the other centres; or "sum"
    return loss


def cross_validate_posed(config: Config) -> None:
    """Ten folds by subject, of which eight train, one validates and one tests (spec IF-GAN 10)."""
    ten_folds(config)
    config.data.validation = "next_fold"


def reduce_for_cpu(config: Config) -> None:
    """Gray images of 48x48 pixels and a sixteenth of the full widths' work, for CPUs.

    Four levels, attention at 12x12; no ImageNet weights, hence a tenfold learning rate. As printed,
    the island loss sums over the images and outweighs all else before features are learned.
    """
    config.model.image_size_px = 48
    config.model.image_channels = 1
    config.model.generator_width = 16
    config.model.generator_levels = 4
    config.model.discriminator_width = 16
    config.model.discriminator_strided_layers = 2
    config.model.classifier_depth = 18
    config.model.classifier_width = 16
    config.loss.adversarial_form = "non_saturating"
    config.loss.island_reduction = "mean"
    config.loss.island_weight = 0.01
    config.learning_rate.generator = 1e-3
    config.learning_rate.classifier = 1e-3
    config.training.batch_size = 16  # many updates count for more than large batches


def shrink_to_tiny(config: Config) -> None:
    """The same structure at the smallest size: seconds to run, for tests and tries."""
    config.model.image_size_px = 16
    config.model.image_channels = 1
    config.model.generator_width = 4
    config.model.generator_levels = 2
    config.model.encoder_attention_level = 1
    config.model.skip_attention_level = 1
    config.model.decoder_attention_level = 1
    config.model.discriminator_width = 4
    config.model.discriminator_strided_layers = 1
    config.model.classifier_depth = 10
    config.model.classifier_width = 4
    config.training.epochs = 2
    config.training.batch_size = 4
    log_of_tiny(config)


def apply_variant(config: Config, variant: str) -> Config:
    """The configuration as it is, one of the paper's ablations, or the smallest size.

    Args:
        config: Changed in place.
        variant: "", "baseline" (ResNet with softmax and island loss on the single image),
            "without_attention" or "tiny".

    Raises:
        UsageError: If the variant is another one.
    """
    if variant and variant not in VARIANTS:
        raise unknown_variant(variant, VARIANTS)
    if variant:
        config.name += f"_{variant}"
    if variant == "baseline":
        config.model.has_generator = False
    if variant == "without_attention":
        config.model.encoder_attention_level = 0
        config.model.skip_attention_level = 0
        config.model.decoder_attention_level = 0
    if variant == "tiny":
        shrink_to_tiny(config)
    return config
