"""Anyone's images: folders by class, or a csv file."""
