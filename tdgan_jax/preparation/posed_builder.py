"""What the builders of sets made in a laboratory share: folds, and six or seven expressions."""

from dataclasses import dataclass
from typing import ClassVar

import tensorflow_datasets as tfds

from tdgan_jax.expressions import BASIC_EXPRESSIONS, SIX_EXPRESSIONS, basic_name
from tdgan_jax.preparation.image_builder import ImageBuilder
from tdgan_jax.preparation.label_table import find_label_table, read_label_table
from tdgan_jax.preparation.listing import ListedImage, listed_image
from tdgan_jax.preparation.source_tree import SourceTree


@dataclass
class PosedConfig(tfds.core.BuilderConfig):
    """Which images to build.

    Attributes:
        has_neutral: Whether neutral faces are among them.
    """

    has_neutral: bool = True


class PosedBuilder(ImageBuilder, skip_registration=True):
    """A builder of posed expressions, divided into ten subject-disjoint folds."""

    HAS_FOLDS: ClassVar[bool] = True

    @property
    def has_neutral(self) -> bool:
        """Whether neutral is a class; always, unless a configuration says otherwise."""
        config = self.builder_config
        return config.has_neutral if isinstance(config, PosedConfig) else True

    @property
    def expression_names(self) -> tuple[str, ...]:
        """Seven expressions, or six without neutral; contempt is left out, as in the papers."""
        return BASIC_EXPRESSIONS if self.has_neutral else SIX_EXPRESSIONS

    def list_table_or_folders(
        self, tree: SourceTree, pattern: str, expected: str
    ) -> list[ListedImage]:
        """Lists the images of a csv file, or else those of a layout that names both labels.

        Args:
            tree: The source.
            pattern: For `find`, with the groups `spelling` (of the expression) and `subject`.
            expected: The layout, for the message.

        Returns:
            The images of the dataset's classes, in the order of the table or by name.

        Raises:
            UserError: If there is none, or an expression is unknown.
        """
        if table := find_label_table(tree):
            listed = read_label_table(tree, table, basic_name, required=("expression", "subject"))
        else:
            table_columns = "or a csv file with the columns image, expression and subject"
            listed = [
                listed_image(
                    match,
                    expression=basic_name(match["spelling"]),
                    subject=match["subject"].upper(),
                )
                for match in self.find(tree, pattern, f"{expected}, {table_columns}")
            ]
        return [image for image in listed if image.expression in self.expression_names]
